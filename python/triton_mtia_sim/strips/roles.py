"""Which tiles can be cut into strips of consecutive elements, and what that asks of each instruction.

A tile is cut along its first dimension that is larger than 1, so that a strip is a run of consecutive elements however
the tile is viewed. An operand that broadcasts along that dimension is needed whole by every strip.
"""

from dataclasses import dataclass
from enum import Enum, auto

from mtia_core import isa
from mtia_core.dtypes import DType
from triton_mtia_sim.tiles.machine import Code, Register, Shape

LANES = 16  # in which a row is reduced (docs/numerics.md)
NARROW = (DType.F16, DType.BF16, DType.F8E4M3, DType.F8E5M2)  # reduced and scanned in float32
ELEMENTWISE = frozenset(
    """
    float_binary float_ternary float_unary float_test integer_binary integer_unary integer_compare float_compare
    select float_to_float integer_to_float float_to_integer integer_to_integer bitcast copy philox iota dma_load
    dma_store gather scatter gather_rows scatter_rows atomic_rmw atomic_cas range_check
    """.split()  # noqa: SIM905 - a list of words
)


class Kind(Enum):
    """How the strips of an instruction make up the whole."""

    STRIPS = auto()  # each strip gives a strip of the results
    REDUCE = auto()  # strips are reduced into an accumulator
    REDUCE_INDEX = auto()  # each strip has a candidate
    JOIN = auto()  # strips of a small result, put together
    SCAN = auto()  # each strip goes on where the one before it ended
    SCAN_BACK = auto()  # as SCAN, from the last strip to the first


@dataclass(frozen=True)
class Roles:
    """Of one instruction: `cut` registers are needed strip by strip, `whole` ones by every strip."""

    kind: Kind
    cut: tuple[Register, ...]
    whole: tuple[Register, ...] = ()

    @property
    def cuts_results(self) -> bool:
        """Whether the results come in strips as well."""
        return self.kind in (Kind.STRIPS, Kind.SCAN, Kind.SCAN_BACK)


def cut_dimension(shape: Shape) -> int:
    """The dimension along which a tile of this shape is cut."""
    for dimension, size in enumerate(shape):
        if size > 1:
            return dimension
    return 0


def strip_shape(shape: Shape, count: int) -> Shape:
    """Shape of one of `count` strips."""
    dimension = cut_dimension(shape)
    return (*shape[:dimension], shape[dimension] // count, *shape[dimension + 1 :])


def divides(shape: Shape, count: int) -> bool:
    """Whether a tile of this shape can be cut into `count` strips."""
    return bool(shape) and shape[cut_dimension(shape)] % count == 0


def roles(item: Code, count: int) -> Roles | None:
    """What an instruction asks of its tiles when it runs in `count` strips; None where it cannot."""
    tiles = [register for register in (*item.results, *item.operands) if register is not None and register.shape]
    if not tiles:
        return None
    form = isa.by_mnemonic()[item.mnemonic].form
    if form in ELEMENTWISE:
        return _elementwise(item, tiles, count)
    if item.mnemonic in ("reduce", "reduce_index"):
        return _reduction(item, count)
    if item.mnemonic in ("dot", "dot_scaled"):
        return _product(item, count)
    if item.mnemonic in ("slice", "permute", "interleave", "scan", "sort", "gather_local"):
        return _layout(item, count)
    return None


def _elementwise(item: Code, tiles: list[Register], count: int) -> Roles | None:
    full = max(tiles, key=lambda tile: tile.elements).shape
    if not divides(full, count):
        return None
    dimension = cut_dimension(full)
    if item.mnemonic in ("gather_rows", "scatter_rows") and dimension == len(full) - 1:
        return None
    cut: list[Register] = []
    whole: list[Register] = []
    for tile in tiles:
        (cut if tile.shape[dimension] == full[dimension] else whole).append(tile)
    if any(result in whole for result in item.results):
        return None
    return Roles(Kind.STRIPS, tuple(cut), tuple(whole))


def _reduction(item: Code, count: int) -> Roles | None:
    source = item.operands[0]
    assert source is not None
    axis = item.attributes[1]
    operands = tuple(register for register in item.operands if register is not None)
    if not divides(source.shape, count):
        return None
    dimension = cut_dimension(source.shape)
    if axis != dimension:
        results = tuple(result for result in item.results if result is not None)
        return Roles(Kind.STRIPS, (*results, *operands))
    row = source.elements == source.shape[axis]
    if item.mnemonic == "reduce_index":
        return Roles(Kind.REDUCE_INDEX, operands) if row else None
    if row and source.elements // count % LANES:
        return None
    if source.dtype is DType.I1 and item.attributes[0] < 12:
        return None
    return Roles(Kind.REDUCE, operands)


def _product(item: Code, count: int) -> Roles | None:
    """Rows of the left operand, or members of a batch; every product of a row adds up in the same order as before."""
    (result,) = item.results
    left, right, start, left_scale, right_scale = (*item.operands, None, None)[:5]
    assert result is not None and left is not None and right is not None
    dimension = cut_dimension(result.shape)
    columns = len(result.shape) - 1
    if dimension == columns or not divides(result.shape, count) or left.shape[dimension] != result.shape[dimension]:
        return None
    batch = dimension < columns - 1
    cut = tuple(register for register in (result, left, start, left_scale) if register is not None)
    whole = tuple(register for register in (right, right_scale) if register is not None)
    return Roles(Kind.STRIPS, (*cut, *whole) if batch else cut, () if batch else whole)


def _layout(item: Code, count: int) -> Roles | None:
    """Movements that leave the cut dimension where it is, and scans."""
    (result,) = item.results
    assert result is not None
    operands = tuple(register for register in item.operands if register is not None)
    dimension = cut_dimension(operands[0].shape)
    if not divides(operands[0].shape, count):
        return None
    for tile in (result, *operands):
        if cut_dimension(tile.shape) != dimension or tile.shape[dimension] != operands[0].shape[dimension]:
            return None
    axis = item.attributes[1] if item.mnemonic == "scan" else item.attributes[0] if item.attributes else None
    if item.mnemonic == "scan" and axis == dimension:
        return Roles(Kind.SCAN_BACK if item.attributes[2] else Kind.SCAN, (result, *operands))
    if item.mnemonic in ("slice", "sort", "gather_local") and axis == dimension:
        return None
    if item.mnemonic == "permute" and item.attributes[dimension] != dimension:
        return None
    return Roles(Kind.STRIPS, (result, *operands))


class Cutting:
    """The tiles of a program that are cut into `count` strips, at least `least` elements each before."""

    def __init__(self, code: list[Code], count: int, least: int) -> None:
        self.count = count
        self.plans: list[Roles | None] = [roles(item, count) for item in code]
        self.roots: set[Register] = set()
        for item in code:
            for register in (*item.results, *item.operands):
                if register is not None and register.shape and register.root.elements >= least:
                    self.roots.add(register.root)
        for item in code:
            for register in (*item.results, *item.operands):
                if register is not None and register.shape and not divides(register.shape, count):
                    self.roots.discard(register.root)
        while self._settle(code):
            pass

    def _settle(self, code: list[Code]) -> bool:
        """Takes out what some instruction needs whole; whether it took out anything."""
        before = len(self.roots)
        for position, item in enumerate(code):
            plan = self.plans[position]
            if plan is not None:
                results = [result for result in item.results if result is not None]
                for needed in plan.whole if plan.cuts_results else (*plan.whole, *results):
                    self.roots.discard(needed.root)
                plan = self.plans[position] = self._feasible(item, plan)
            if plan is None:
                for register in (*item.results, *item.operands):
                    if register is not None and register.shape:
                        self.roots.discard(register.root)
        return len(self.roots) != before

    def _feasible(self, item: Code, plan: Roles) -> Roles | None:
        """The plan as it is when results stay whole; None where the instruction runs whole."""
        results = [result for result in item.results if result is not None and result.shape]
        operands = [operand for operand in item.operands if operand is not None and operand.shape]
        if not any(register.root in self.roots for register in (*results, *operands)):
            return None
        if not plan.cuts_results or all(result.root in self.roots for result in results):
            return plan
        joins = item.mnemonic == "reduce" and any(operand.root in self.roots for operand in operands)
        return Roles(Kind.JOIN, plan.cut, plan.whole) if joins else None

    def cuts(self, register: Register | None) -> bool:
        """Whether a register's tile is cut."""
        return register is not None and register.root in self.roots
