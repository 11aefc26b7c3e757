"""Functions of libdevice that are made of several instructions: name without prefix -> formula."""

from collections.abc import Callable, Sequence

from mtia_core.dtypes import DType
from triton_mtia_sim.lowering.formula import Formula
from triton_mtia_sim.lowering.site import Site
from triton_mtia_sim.tiles.machine import Register

Function = Callable[[Site, Sequence[Register], DType], Register]

COMPOSED: dict[str, Function] = {}


def composed(*names: str) -> Callable[[Function], Function]:
    """Registers a function of registers under its libdevice names."""

    def register(function: Function) -> Function:
        for name in names:
            if name in COMPOSED:
                raise ValueError(f"libdevice's {name} has two definitions")
            COMPOSED[name] = function
        return function

    return register


def formula(*names: str) -> Callable[[Callable[..., Formula]], Callable[..., Formula]]:
    """Registers a formula of its operands under its libdevice names; the result is converted to the wanted dtype."""

    def register(function: Callable[..., Formula]) -> Callable[..., Formula]:
        def lowered(site: Site, operands: Sequence[Register], dtype: DType) -> Register:
            return function(*(Formula(site, operand) for operand in operands)).to(dtype).register

        composed(*names)(lowered)
        return function

    return register
