"""Reductions and scans: the reduction engine's kinds where the combiner is one, else the combiner itself by halving."""

from mtia_core.dtypes import DType
from triton_mtia_sim.ir.operations import Block, Operation, Value
from triton_mtia_sim.lowering.regions import RegionRun
from triton_mtia_sim.lowering.registry import lowers
from triton_mtia_sim.lowering.site import Site
from triton_mtia_sim.tiles.machine import Register, Shape

KINDS = {
    "arith.addf": 0,
    "arith.mulf": 1,
    "arith.maxnumf": 2,
    "arith.minnumf": 3,
    "arith.maximumf": 4,
    "arith.minimumf": 5,
    "arith.addi": 6,
    "arith.muli": 7,
    "arith.maxsi": 8,
    "arith.maxui": 9,
    "arith.minsi": 10,
    "arith.minui": 11,
    "arith.andi": 12,
    "arith.ori": 13,
    "arith.xori": 14,
}
_BOOLEAN = {6: 14, 7: 12, 9: 13, 11: 12}
# argmax and argmin by the predicate that keeps the left value: (is float, cmp predicate) -> kind
_BETTER = {(True, 2): 2, (True, 4): 3, (False, 4): 8, (False, 8): 9, (False, 2): 10, (False, 6): 11}


def _needed(block: Block) -> list[Operation]:
    """A combiner's operations that its result depends on; none of a combiner with effects, which runs as it stands."""
    if any(not operation.results for operation in block.operations[:-1]):
        return []
    wanted: set[Value] = set(block.terminator.operands)
    result = []
    for operation in reversed(block.operations[:-1]):
        if any(value in wanted for value in operation.results):
            wanted.update(operation.operands)
            result.append(operation)
    return result[::-1]


def simple_kind(block: Block, dtype: DType) -> int | None:
    """Kind of a combiner of one operation on its two arguments."""
    operations = _needed(block)
    if len(operations) != 1 or len(block.arguments) != 2 or operations[0].name not in KINDS:
        return None
    if set(operations[0].operands) != set(block.arguments) or block.terminator.operands != operations[0].results:
        return None
    kind = KINDS[operations[0].name]
    return _BOOLEAN.get(kind, kind) if dtype is DType.I1 else kind


def index_kind(block: Block) -> tuple[int, int] | None:
    """(kind, ties go to the lower index) of an argmax or argmin combiner as triton.language writes it."""
    operations = _needed(block)
    if len(block.arguments) != 4 or len(block.terminator.operands) != 2:
        return None
    value, index, other_value, other_index = block.arguments
    chosen = [item.operation for item in block.terminator.operands]
    if any(item is None or item.name != "arith.select" for item in chosen):
        return None
    first, second = chosen
    assert first is not None and second is not None
    if first.operands[1:] != [value, other_value] or second.operands[1:] != [index, other_index]:
        return None
    if first.operands[0] is not second.operands[0]:
        return None
    condition = first.operands[0].operation
    if condition is None:
        return None
    tie = 0
    if condition.name == "arith.ori" and len(operations) == 7:
        better, equal = (item.operation for item in condition.operands)
        if not _is_tie_break(equal, block.arguments):
            return None
        tie, condition = 1, better
    elif len(operations) != 3:
        return None
    if condition is None or condition.operands != [value, other_value]:
        return None
    if condition.name not in ("arith.cmpf", "arith.cmpi"):
        return None
    kind = _BETTER.get((condition.name == "arith.cmpf", condition.attributes["predicate"]))
    return None if kind is None else (kind, tie)


def _is_tie_break(operation: Operation | None, arguments: list[Value]) -> bool:
    """Whether it is: values equal and left index below the right one."""
    if operation is None or operation.name != "arith.andi":
        return False
    value, index, other_value, other_index = arguments
    equal, below = (item.operation for item in operation.operands)
    if equal is None or below is None:
        return False
    equals = (equal.name, equal.attributes.get("predicate")) in (("arith.cmpf", 1), ("arith.cmpi", 0))
    lower = (below.name, below.attributes.get("predicate")) == ("arith.cmpi", 2)
    return equals and lower and equal.operands == [value, other_value] and below.operands == [index, other_index]


def _dropped(shape: Shape, axis: int) -> Shape:
    return (*shape[:axis], *shape[axis + 1 :])


@lowers("tt.reduce")
def reduce(site: Site) -> list[Register]:
    """One or more tiles along an axis."""
    axis, region = site.attribute("axis"), site.operation.regions[0]
    block = region.blocks[0]
    tiles = [site.full(index) for index in range(site.operand_count)]
    shape = _dropped(tiles[0].shape, axis)
    if len(tiles) == 1:
        kind = simple_kind(block, tiles[0].dtype)
        if kind is not None:
            return [site.make("reduce", tiles[0].dtype, shape, tiles, (kind, axis))]
    found = index_kind(block) if len(tiles) == 2 and tiles[1].dtype is DType.I32 else None
    if found is not None and tiles[0].dtype is not DType.I1:
        results = [site.tile(tile.dtype, shape) for tile in tiles]
        site.emit("reduce_index", results, tiles, (found[0], axis, found[1]))
        return results
    size = tiles[0].shape[axis]
    while size > 1:
        half = size // 2
        lower = [_slice(site, tile, axis, 0, half) for tile in tiles]
        upper = [_slice(site, tile, axis, half, half) for tile in tiles]
        combined = [_widened(site, tile, lower[0].shape) for tile in RegionRun(site, region).run([*lower, *upper])]
        if size % 2:
            last = [_slice(site, tile, axis, size - 1, 1) for tile in tiles]
            combined = [_join(site, tile, end, axis) for tile, end in zip(combined, last, strict=True)]
        tiles, size = combined, half + size % 2
    return [site.builder.view(tile, shape) if shape else site.extract(tile) for tile in tiles]


def _widened(site: Site, tile: Register, shape: Shape) -> Register:
    """A combiner's result as a full tile, also where the combiner returns a constant."""
    return site.expand(tile, shape)


def _slice(site: Site, tile: Register, axis: int, start: int, size: int) -> Register:
    shape = (*tile.shape[:axis], size, *tile.shape[axis + 1 :])
    return site.make("slice", tile.dtype, shape, [tile], (axis, start, 1))


def _join(site: Site, a: Register, b: Register, axis: int) -> Register:
    shape = (*a.shape[:axis], a.shape[axis] + b.shape[axis], *a.shape[axis + 1 :])
    return site.make("concatenate", a.dtype, shape, [a, b], (axis,))


@lowers("tt.scan")
def scan(site: Site) -> list[Register]:
    """Inclusive scan along an axis; a general combiner runs in log2(size) steps."""
    axis, reverse = site.attribute("axis"), bool(site.attribute("reverse"))
    region = site.operation.regions[0]
    block = region.blocks[0]
    tiles = [site.full(index) for index in range(site.operand_count)]
    if len(tiles) == 1:
        kind = simple_kind(block, tiles[0].dtype)
        if kind is not None:
            attributes = (kind, axis, int(reverse))
            return [site.make("scan", tiles[0].dtype, tiles[0].shape, tiles, attributes)]
    size, distance = tiles[0].shape[axis], 1
    while distance < size:
        rest = size - distance
        if reverse:
            left = [_slice(site, tile, axis, distance, rest) for tile in tiles]
            right = [_slice(site, tile, axis, 0, rest) for tile in tiles]
            kept = [_slice(site, tile, axis, rest, distance) for tile in tiles]
        else:
            left = [_slice(site, tile, axis, 0, rest) for tile in tiles]
            right = [_slice(site, tile, axis, distance, rest) for tile in tiles]
            kept = [_slice(site, tile, axis, 0, distance) for tile in tiles]
        moved = [_widened(site, tile, left[0].shape) for tile in RegionRun(site, region).run([*left, *right])]
        pairs = zip(moved, kept, strict=True) if reverse else zip(kept, moved, strict=True)
        tiles = [_join(site, first, second, axis) for first, second in pairs]
        distance *= 2
    return tiles
