"""The one table of lowerings: TTIR operation name -> function, filled by decorators in the family files."""

from collections.abc import Callable, Sequence

from triton_mtia_sim.ir.operations import Operation
from triton_mtia_sim.lowering.site import Site
from triton_mtia_sim.tiles.machine import VOLATILE, Register

PureLowering = Callable[[Site], "Register | Sequence[Register]"]
EffectLowering = Callable[[Site], "Sequence[Register] | None"]

PURE: dict[str, PureLowering] = {}
EFFECTS: dict[str, EffectLowering] = {}
ELEMENTWISE: set[str] = set()
CONTROL_FLOW = frozenset(
    ("scf.for", "scf.while", "scf.if", "scf.yield", "scf.condition", "cf.br", "cf.cond_br", "tt.return", "tt.func")
)


def is_volatile(operation: Operation) -> bool:
    """Whether an operation is a load that reads memory each time: it then is an effect in the order of the program."""
    return operation.name == "tt.load" and (
        bool(operation.attributes.get("isVolatile")) or operation.attributes.get("cache") == VOLATILE
    )


def lowers(*names: str, elementwise: bool = False) -> Callable[[PureLowering], PureLowering]:
    """Registers the lowering of operations without side effects: it runs when a result is wanted as data."""

    def register(function: PureLowering) -> PureLowering:
        for name in names:
            if name in PURE or name in EFFECTS:
                raise ValueError(f"{name} has two lowerings")
            PURE[name] = function
            if elementwise:
                ELEMENTWISE.add(name)
        return function

    return register


def lowers_effect(*names: str) -> Callable[[EffectLowering], EffectLowering]:
    """Registers the lowering of operations with side effects: it always runs, in program order."""

    def register(function: EffectLowering) -> EffectLowering:
        for name in names:
            if name in PURE or name in EFFECTS:
                raise ValueError(f"{name} has two lowerings")
            EFFECTS[name] = function
        return function

    return register
