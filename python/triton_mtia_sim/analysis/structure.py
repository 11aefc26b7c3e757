"""The nesting of a linear list of instructions, and the removal of what nothing needs."""

from dataclasses import dataclass, field

from triton_mtia_sim.tiles.machine import Code, Register

OPENING = frozenset(("for_begin", "while_begin", "if_begin"))
MARKERS = OPENING | {"while_test", "else_begin", "end"}
EFFECTS = frozenset(
    """
    dma_store scatter scatter_rows atomic_rmw atomic_cas assert_ check_range print return_ barrier
    """.split()  # noqa: SIM905 - a list of words
)


def has_effect(item: Code) -> bool:
    """Whether an instruction runs even where nobody wants its results."""
    return item.mnemonic in EFFECTS or item.is_volatile


@dataclass
class Construct:
    """A for, while or if: positions of its markers in the list."""

    begin: int
    end: int = -1
    middle: int = -1  # while_test or else_begin
    children: list["Construct"] = field(default_factory=list)
    parent: "Construct | None" = None


def constructs(code: list[Code]) -> tuple[list[Construct], list[Construct | None]]:
    """The outermost constructs, and the innermost construct around each position (markers belong to their own)."""
    top: list[Construct] = []
    around: list[Construct | None] = []
    current: Construct | None = None
    for position, item in enumerate(code):
        if item.mnemonic in OPENING:
            inner = Construct(position, parent=current)
            (top if current is None else current.children).append(inner)
            current = inner
        around.append(current)
        if current is not None and item.mnemonic in ("while_test", "else_begin"):
            current.middle = position
        elif item.mnemonic == "end":
            assert current is not None
            current.end = position
            current = current.parent
    return top, around


def remove_dead(code: list[Code]) -> list[Code]:
    """Keeps effects and what they depend on; empty loops and branches go."""
    _, around = constructs(code)
    definitions: dict[Register, list[int]] = {}
    for position, item in enumerate(code):
        for result in item.results:
            if result is not None:
                definitions.setdefault(result.root, []).append(position)
    live: set[int] = set()
    live_constructs: set[int] = set()
    queue = [position for position, item in enumerate(code) if has_effect(item)]

    def need_construct(construct: Construct | None) -> None:
        while construct is not None and construct.begin not in live_constructs:
            live_constructs.add(construct.begin)
            for marker in (construct.begin, construct.middle, construct.end):
                if marker >= 0:
                    queue.append(marker)
            construct = construct.parent

    while queue:
        position = queue.pop()
        if position in live:
            continue
        live.add(position)
        need_construct(around[position])
        for operand in code[position].operands:
            if operand is not None and not operand.is_constant:
                queue.extend(definitions.get(operand.root, ()))
    return [item for position, item in enumerate(code) if position in live]
