"""Whether two accesses may run side by side, strip by strip, or a load once more: where their descriptors go."""

from collections.abc import Callable
from dataclasses import dataclass

from mtia_core.dtypes import DType
from triton_mtia_sim.strips.roles import cut_dimension
from triton_mtia_sim.tiles.folding import fold
from triton_mtia_sim.tiles.machine import Bucket, Code, Register, wrap_integer

READS = frozenset(("dma_load", "gather", "gather_rows"))
WRITES = frozenset(("dma_store", "scatter", "scatter_rows", "atomic_rmw", "atomic_cas"))
FENCES = frozenset(("barrier",))
OBSERVERS = frozenset(("assert_", "check_range", "print"))  # keep their order, and their place among writes
MESSAGE = (
    "the block runs in strips because it does not fit local memory, and what it stores overlaps what it loads from "
    "another place of memory; use a smaller BLOCK or another tensor"
)


@dataclass(frozen=True)
class Descriptor:
    """A load or store of a descriptor; one of five operands a dimension: stride, low, high, start, wrap."""

    base: Register
    tile: Register
    dimensions: tuple[tuple[Register | None, ...], ...]

    @property
    def is_plain(self) -> bool:
        """Whether it covers one range of addresses that its operands give."""
        return all(dimension[4] is None for dimension in self.dimensions)


def descriptor(item: Code) -> Descriptor | None:
    """The descriptor of a DMA, None of other accesses."""
    if item.mnemonic == "dma_load":
        tile, base, rest = item.results[0], item.operands[0], item.operands[3:]
    elif item.mnemonic == "dma_store":
        tile, base, rest = item.operands[1], item.operands[0], item.operands[3:]
    else:
        return None
    assert tile is not None and base is not None
    dimensions = tuple(tuple(rest[start : start + 5]) for start in range(0, len(rest), 5))
    return Descriptor(base, tile, dimensions)


def conflict(a: Code, b: Code) -> bool:
    """Whether the order of two instructions matters to memory, or to who is told of it."""
    first, second = a.mnemonic, b.mnemonic
    for item, other in ((a, second), (b, first)):
        if item.mnemonic in FENCES or item.is_volatile:  # what follows a flag's load is to see what its writer wrote
            return other in READS | WRITES | FENCES | OBSERVERS
    if first in OBSERVERS:
        # What an assertion guards stays behind it; what came before it may as well come after it.
        return second in WRITES | READS | OBSERVERS
    if second in OBSERVERS:
        return first in WRITES
    return (first in WRITES and second in WRITES | READS) or (first in READS and second in WRITES)


def same_place(a: Code, b: Code) -> bool:
    """Whether element i of both surely is the same bytes, and no other element's: strips then never meet another's."""
    first, second = descriptor(a), descriptor(b)
    if first is None or second is None or not first.is_plain or not _alike(first, second):
        return False
    pairs = zip(first.dimensions, second.dimensions, strict=True)
    if first.base is not second.base or any(x[place] is not y[place] for x, y in pairs for place in (0, 3, 4)):
        return False
    distinct = _distinct(Scalars([], a, first.base.home), first)
    return distinct.is_constant and bool(distinct.integer)


def checkable(a: Code, b: Code) -> bool:
    """Whether a launch can tell that two accesses are apart."""
    first, second = descriptor(a), descriptor(b)
    if first is None or second is None or a.is_volatile or b.is_volatile:
        return False
    return first.is_plain and second.is_plain


def _alike(first: Descriptor, second: Descriptor) -> bool:
    return first.tile.shape == second.tile.shape and first.tile.dtype.bytes == second.tile.dtype.bytes


class Scalars:
    """Writes scalar instructions into a list, folding what is known."""

    def __init__(self, code: list[Code], like: Code, home: Bucket) -> None:
        self.code = code
        self.like = like
        self.home = home

    def integer(self, value: int, dtype: DType = DType.I64) -> Register:
        return Register(dtype, (), self.home, wrap_integer(value, dtype))

    def make(
        self, mnemonic: str, operands: list[Register], dtype: DType = DType.I64, attributes: tuple[int, ...] = ()
    ) -> Register:
        folded = fold(mnemonic, dtype, operands, attributes)
        if folded is not None:
            return folded if isinstance(folded, Register) else self.integer(folded, dtype)
        result = Register(dtype, (), self.home)
        result.definition = Code(mnemonic, [result], list(operands), attributes, self.like.location)
        self.code.append(result.definition)
        return result

    def compare(self, a: Register, b: Register, predicate: int) -> Register:
        return self.make("compare_i", [a, b], DType.I1, (predicate,))


@dataclass(frozen=True)
class Check:
    """Two descriptors that must share no byte, or, where `same` will do, go to the same place element by element."""

    first: Code
    second: Code
    same: bool


def check_apart(code: list[Code], check: Check, home: Bucket, string: Callable[[str], int]) -> None:
    """Asserts what a check wants."""
    scalars = Scalars(code, check.second, home)
    first, second = descriptor(check.first), descriptor(check.second)
    assert first is not None and second is not None
    one, other = (_extent(scalars, item) for item in (first, second))
    apart = [one[2], other[2], scalars.compare(one[1], other[0], 3), scalars.compare(other[1], one[0], 3)]
    holds = apart[0]
    for part in apart[1:]:
        holds = scalars.make("or_i", [holds, part], DType.I1)
    if check.same and _alike(first, second):
        equal = scalars.make(
            "and_i", [scalars.compare(first.base, second.base, 0), _distinct(scalars, first)], DType.I1
        )
        for x, y in zip(first.dimensions, second.dimensions, strict=True):
            for place, default in ((0, 0), (3, 0)):
                mine, its = x[place] or scalars.integer(default), y[place] or scalars.integer(default)
                if mine is not its:
                    equal = scalars.make("and_i", [equal, scalars.compare(mine, its, 0)], DType.I1)
        holds = scalars.make("or_i", [holds, equal], DType.I1)
    if not (holds.is_constant and holds.integer):
        code.append(Code("assert_", [], [holds, None], (string(MESSAGE),), check.second.location))


def _reach(scalars: Scalars, size: int, dimension: tuple[Register | None, ...]) -> tuple[Register, Register]:
    """First and last index of a dimension that the descriptor's bounds leave."""
    _, low, high, _, _ = dimension
    first, last = scalars.integer(0), scalars.integer(size - 1)
    if low is not None:
        first = scalars.make("max_s", [low, first])
    if high is not None:
        last = scalars.make("min_s", [scalars.make("sub_i", [high, scalars.integer(1)]), last])
    return first, last


def _distinct(scalars: Scalars, item: Descriptor) -> Register:
    """Whether a step along the cut dimension leaves behind all that lies inside of it."""
    cut = cut_dimension(item.tile.shape)
    inner = scalars.integer(0)
    for size, dimension in list(zip(item.tile.shape, item.dimensions, strict=True))[cut + 1 :]:
        if dimension[0] is not None:
            first, last = _reach(scalars, size, dimension)
            distance = scalars.make("mul_i", [_absolute(scalars, dimension[0]), scalars.make("sub_i", [last, first])])
            inner = scalars.make("add_i", [inner, scalars.make("max_s", [distance, scalars.integer(0)])])
    step = item.dimensions[cut][0] if item.dimensions else None
    return scalars.compare(inner, _absolute(scalars, step or scalars.integer(0)), 2)


def _absolute(scalars: Scalars, number: Register) -> Register:
    return scalars.make("max_s", [number, scalars.make("sub_i", [scalars.integer(0), number])])


def _extent(scalars: Scalars, item: Descriptor) -> tuple[Register, Register, Register]:
    """First byte, one past the last, and whether the access is empty."""
    low = high = scalars.integer(0)
    empty = scalars.integer(0, DType.I1)
    for size, dimension in zip(item.tile.shape, item.dimensions, strict=True):
        stride, start = dimension[0], dimension[3]
        first, last = _reach(scalars, size, dimension)
        empty = scalars.make("or_i", [empty, scalars.compare(last, first, 2)], DType.I1)
        if stride is None:
            continue
        if start is not None:
            first, last = (scalars.make("add_i", [place, start]) for place in (first, last))
        ends = [scalars.make("mul_i", [stride, place]) for place in (first, last)]
        low = scalars.make("add_i", [low, scalars.make("min_s", ends)])
        high = scalars.make("add_i", [high, scalars.make("max_s", ends)])
    width = scalars.integer(item.tile.dtype.bytes)
    beyond = scalars.make("add_i", [high, scalars.integer(1)])
    starts = scalars.make("add_i", [item.base, scalars.make("mul_i", [low, width])])
    stops = scalars.make("add_i", [item.base, scalars.make("mul_i", [beyond, width])])
    return starts, stops, empty
