"""The way of a load, store or atomic to its elements: one DMA descriptor where a closed form is known, else offsets."""

import math
from collections.abc import Sequence
from dataclasses import replace

from mtia_core.dtypes import DType
from triton_mtia_sim.analysis.forms import Affine, Bound, Dimension, Mask, Piece, Pointer
from triton_mtia_sim.ir.operations import Operation, Value
from triton_mtia_sim.ir.types import shape_of
from triton_mtia_sim.lowering.access import Access
from triton_mtia_sim.lowering.ranks import HIGHEST_RANK
from triton_mtia_sim.lowering.site import LoweringState, Site
from triton_mtia_sim.tiles.machine import Register, Shape


def indexed_way(site: Site, way: Access, shape: Shape) -> tuple[Register, Register | None]:
    """Offsets and mask of an indexed DMA, which are full tiles (a mask may be a scalar)."""
    assert way.offset is not None
    return site.expand(way.offset, shape), whole_mask(site, way.mask, shape)


def other_way(site: Site, way: Access, shape: Shape) -> tuple[Register, Register, Register | None]:
    """Base, offsets and mask of the indexed DMA that takes over where the way's condition does not hold."""
    assert way.pointer is not None and way.form is not None
    base, offset = indexed(site, way.pointer, shape)
    mask: Register | None = None
    parts = [*way.form.conditions, *way.form.residuals]
    bounded = enumerate(way.form.bounds)
    parts.extend(_bound_as_data(site, bound, number, shape) for number, bound in bounded if bound != Bound())
    for part in parts:
        mask = part if mask is None else site.elementwise("and_i", [mask, part], DType.I1)
    return base, site.expand(offset, shape), whole_mask(site, mask, shape)


def joined(site: Site, way: Access, tile: Register, kept: Sequence[bool], shape: Shape) -> Register:
    """A loaded tile of the way's split shape as a compact one of the tile's own."""
    if way.split == shape or not tile.shape:
        return tile
    moving = {owner for owner, keep in zip(way.owners, kept, strict=True) if keep}
    full = tuple(piece.size if owner in moving else 1 for piece, owner in zip(way.pieces, way.owners, strict=True))
    compact = tuple(size if number in moving else 1 for number, size in enumerate(shape))
    return site.builder.view(site.expand(tile, full), compact)


def access(site: Site, pointer_value: Value, mask_value: Value | None) -> Access:
    """The way to the elements that a pointer and a mask select."""
    way = _find(site, pointer_value, mask_value)
    site.kernel.accesses[site.operation] = way
    return way


def _find(site: Site, pointer_value: Value, mask_value: Value | None) -> Access:
    analysis = site.kernel.addresses
    shape = shape_of(pointer_value.type)
    pointer = analysis.pointer(pointer_value)
    if pointer is not None and pointer.is_structured:
        form = analysis.masks.mask(mask_value) if mask_value is not None else Mask((Bound(),) * len(shape))
        way = _structured(site, pointer, form, shape)
        if way is not None:
            return way
    if pointer is not None and not pointer.index.checks:
        rows = _rows_of_neighbours(site, pointer, mask_value, shape)
        if rows is not None:
            return rows
        base, offset = indexed(site, pointer, shape)
        return Access(base, offset, full_mask(site, mask_value))
    mask = full_mask(site, mask_value)
    return Access(None, site.kernel.data(pointer_value), mask)


def _rows_of_neighbours(site: Site, pointer: Pointer, mask_value: Value | None, shape: Shape) -> Access | None:
    """One offset for each row of a tile whose last dimension walks along memory, element by element."""
    if len(shape) < 2 or shape[-1] == 1 or math.prod(shape[:-1]) == 1:
        return None
    last = pointer.index.dimensions[-1]
    if len(last) != 1 or last[0].stride.bits != 1 or last[0].wrap is not None:
        return None
    form = Mask((Bound(),) * len(shape)) if mask_value is None else site.kernel.addresses.masks.mask(mask_value)
    if any(residual.shape[-1] != 1 for residual in (*pointer.residuals, *form.residuals)):
        return None
    mask: Register | None = None
    for condition in form.conditions:
        mask = condition if mask is None else site.builder.both(mask, condition)
    _make_checks(site, pointer.index, form, mask)
    bounded = [number for number, bound in enumerate(form.bounds[:-1]) if bound != Bound()]
    for part in (*form.residuals, *(_bound_as_data(site, form.bounds[number], number, shape) for number in bounded)):
        mask = part if mask is None else site.elementwise("and_i", [mask, part], DType.I1)
    rows = (*shape[:-1], 1)
    still = site.kernel.addresses.algebra.still(1)
    index = replace(pointer.index, dimensions=(*pointer.index.dimensions[:-1], still))
    base, offset = indexed(site, replace(pointer, index=index), rows)
    return Access(base, site.expand(offset, rows), whole_mask(site, mask, rows), row_bound=form.bounds[-1])


def _structured(site: Site, pointer: Pointer, form: Mask, shape: Shape) -> Access | None:
    pieces: list[Piece] = []
    bounds: list[Bound] = []
    owners: list[int] = []
    residuals = list(form.residuals)
    for number, (dimension, bound) in enumerate(zip(pointer.index.dimensions, form.bounds, strict=True)):
        owners.extend([number] * len(dimension))
        pieces.extend(dimension)
        if len(dimension) == 1 or bound == Bound():
            bounds.extend([bound, *[Bound()] * (len(dimension) - 1)])
            continue
        outer = _outer_bound(site, bound, dimension)
        if outer is None:
            residuals.append(_bound_as_data(site, bound, number, shape))
        bounds.extend([outer or Bound(), *[Bound()] * (len(dimension) - 1)])
    if len(pieces) > HIGHEST_RANK:
        return None
    if residuals and pointer.index.checks:
        return None  # elements that the mask leaves out may wrap around
    mask: Register | None = None
    for condition in form.conditions:
        mask = condition if mask is None else site.builder.both(mask, condition)
    _make_checks(site, pointer.index, form, mask)
    for residual in residuals:
        mask = residual if mask is None else site.elementwise("and_i", [mask, residual], DType.I1)
    if mask is not None and mask.shape and len(pieces) != len(shape):
        split = tuple(piece.size if mask.shape[owner] > 1 else 1 for piece, owner in zip(pieces, owners, strict=True))
        mask = site.builder.view(mask, split)
    base = site.kernel.addresses.address(pointer)
    if not any(piece.carries for piece in pieces):
        return Access(base, None, mask, tuple(pieces), tuple(bounds), tuple(owners))
    base, straight, condition = _in_one_row(site, base, pointer.element_bytes, pieces)
    if condition.is_constant:
        return Access(base, None, mask, tuple(straight), tuple(bounds), tuple(owners)) if condition.integer else None
    return Access(base, None, mask, tuple(straight), tuple(bounds), tuple(owners), condition, pointer, form)


def _in_one_row(
    site: Site, base: Register, size: int, pieces: Sequence[Piece]
) -> tuple[Register, list[Piece], Register]:
    """Base and pieces where no piece passes its wrap, and the condition for that."""
    builder = site.builder
    condition = builder.integer(1, DType.I1)
    straight = []
    for piece in pieces:
        if not piece.carries or piece.start is None or piece.wrap is None or piece.carry is None:
            straight.append(piece)
            continue
        rest = builder.scalar("rem_s", DType.I64, (piece.start, piece.wrap))
        row = builder.scalar("div_s", DType.I64, (piece.start, piece.wrap))
        last = builder.add(rest, builder.integer(piece.size - 1))
        condition = builder.both(condition, builder.scalar("compare_i", DType.I1, (last, piece.wrap), (2,)))
        moved = builder.add(builder.multiply(piece.stride, rest), builder.multiply(piece.carry, row))
        base = builder.add(base, builder.multiply(moved, builder.integer(size)))
        straight.append(Piece(piece.size, piece.stride))
    return base, straight, condition


def _outer_bound(site: Site, bound: Bound, dimension: Dimension) -> Bound | None:
    """A bound of a whole dimension as one of its outermost piece, where both edges fall between its steps."""
    inner = math.prod(piece.size for piece in dimension[1:])
    ranges = site.kernel.addresses.ranges
    edges = []
    for edge in (bound.low, bound.high):
        if edge is not None and ranges.multiple_of(edge) % inner:
            return None
        divisor = site.builder.integer(inner)
        edges.append(None if edge is None else site.builder.scalar("div_s", DType.I64, (edge, divisor)))
    return Bound(*edges)


def _bound_as_data(site: Site, bound: Bound, number: int, shape: Shape) -> Register:
    """A bound as a compact mask."""
    ones = tuple(size if d == number else 1 for d, size in enumerate(shape))
    counter = site.builder.view(site.make("iota", DType.I32, (shape[number],), [], (0,)), ones)
    index = site.elementwise("extend_s", [counter], DType.I64)
    result: Register | None = None
    for edge, predicate in ((bound.low, 5), (bound.high, 2)):
        if edge is not None:
            holds = site.elementwise("compare_i", [index, edge], DType.I1, (predicate,))
            result = holds if result is None else site.elementwise("and_i", [result, holds], DType.I1)
    assert result is not None
    return result


# ---- checks
_NEGATIVE = "the remainder or quotient of a negative index addresses memory; add the divisor to the index first"
_WRAPS = "an index wraps around at its width inside a tile; compute it in 64 bits (.to(tl.int64))"


def _make_checks(site: Site, index: Affine, form: Mask, condition: Register | None) -> None:
    """Asserts what the closed forms rest on, where the access has active elements."""
    if not index.checks and not form.guards:
        return
    builder = site.builder
    active = condition
    for bound, dimension in zip(form.bounds, index.dimensions, strict=True):
        size = math.prod(piece.size for piece in dimension)
        low = builder.integer(0) if bound.low is None else bound.low
        high = builder.integer(size) if bound.high is None else bound.high
        if bound != Bound():
            some = builder.scalar("compare_i", DType.I1, (low, high), (2,))
            active = some if active is None else builder.both(active, some)
    # Where only one part of the index may wrap, its exact address lies 2^31 elements from where the kernel's own would
    # have wrapped to: outside of a tensor of fewer elements, so that the memory's bounds check does for this one.
    unseen = sum(check.may_wrap for check in index.checks) > 1
    for check in index.checks:
        if check.may_wrap and not unseen:
            continue
        low, high = extremes(site, check.form, form.bounds)
        ranges = site.kernel.addresses.ranges
        if check.low is not None and ranges.interval(low)[0] < check.low:
            above = builder.scalar("compare_i", DType.I1, (low, builder.integer(check.low)), (5,))
            _assert(site, above, active, _NEGATIVE if check.low == 0 else _WRAPS)
        if check.high is not None and ranges.interval(high)[1] > check.high:
            below = builder.scalar("compare_i", DType.I1, (high, builder.integer(check.high)), (3,))
            _assert(site, below, active, _WRAPS)
    for guard in form.guards:
        _assert(site, guard, condition, _WRAPS)


def extremes(site: Site, form: Affine, bounds: Sequence[Bound]) -> tuple[Register, Register]:
    """Smallest and largest value of a form over the elements inside bounds, as scalars."""
    builder, ranges = site.builder, site.kernel.addresses.ranges
    low = high = form.offset
    zero, one = builder.integer(0), builder.integer(1)
    for dimension, bound in zip(form.dimensions, bounds, strict=True):
        for piece in dimension:
            if piece.is_zero:
                continue
            first, last = zero, builder.integer(piece.size - 1)
            if piece.wrap is not None:
                last = builder.subtract(piece.wrap, one)
            elif len(dimension) == 1:
                # A bound of a later point of the kernel would move the check there, into a loop's every iteration.
                if bound.low is not None and bound.low.home.order <= form.offset.home.order:
                    first = builder.maximum(bound.low, zero)
                if bound.high is not None and bound.high.home.order <= form.offset.home.order:
                    last = builder.minimum(builder.subtract(bound.high, one), last)
            at_first, at_last = builder.multiply(piece.stride, first), builder.multiply(piece.stride, last)
            least, most = ranges.interval(piece.stride)
            if least >= 0:
                smallest, largest = at_first, at_last
            elif most <= 0:
                smallest, largest = at_last, at_first
            else:
                smallest, largest = builder.minimum(at_first, at_last), builder.maximum(at_first, at_last)
            low, high = builder.add(low, smallest), builder.add(high, largest)
    return low, high


def _rows(site: Site, piece: Piece, low: Register, high: Register) -> tuple[Register, Register]:
    """Adds what a carry contributes at least and at most."""
    if piece.start is None or piece.wrap is None or piece.carry is None:
        return low, high
    builder = site.builder
    end = builder.add(piece.start, builder.integer(piece.size - 1))
    rows = [builder.scalar("div_s", DType.I64, (place, piece.wrap)) for place in (piece.start, end)]
    first, last = (builder.multiply(piece.carry, row) for row in rows)
    return builder.add(low, builder.minimum(first, last)), builder.add(high, builder.maximum(first, last))


def _assert(site: Site, holds: Register, active: Register | None, message: str) -> None:
    kernel = site.kernel
    if holds.is_constant and holds.integer:
        return
    if active is not None:
        idle = site.builder.scalar("xor_i", DType.I1, (active, site.builder.integer(1, DType.I1)))
        holds = site.builder.scalar("or_i", DType.I1, (holds, idle))
    place, bucket = site.operation, site.bucket
    # Out of the loops that always reach the access and that nothing of the check depends on.
    while place.block is not None and place.block.owner.name == "scf.for":
        loop = place.block.owner
        runs = site.builder.scalar("compare_i", DType.I1, _ends(kernel, loop), (3,))
        entered = site.builder.scalar("or_i", DType.I1, (holds, runs))
        if entered.home.order > kernel.before[loop].order:
            break
        holds, place, bucket = entered, loop, kernel.before[loop]
    block = place.block
    while block is not None:
        if (block, holds) in kernel.checked:
            return
        block = block.owner.block
    if not kernel.speculations:
        kernel.checked.add((place.block, holds))
    code = site.builder.emit(bucket, "assert_", [], [holds, None], (kernel.string(message),))
    kernel.asserted.append((bucket, code))


def _ends(kernel: LoweringState, loop: Operation) -> tuple[Register, Register]:
    """Upper and lower bound of a loop: it does not run where the first is at most the second."""
    low, high = (kernel.data(operand) for operand in loop.operands[:2])
    return high, low


# ---- offsets and masks as data
def whole_mask(site: Site, mask: Register | None, shape: Shape) -> Register | None:
    """A mask as a scalar or a full tile."""
    return mask if mask is None or mask.is_scalar else site.expand(mask, shape)


def full_mask(site: Site, value: Value | None) -> Register | None:
    """A mask as data, None where it is absent or known to hold."""
    if value is None:
        return None
    register = site.kernel.data(value)
    return None if register.is_constant and register.integer else register


def indexed(site: Site, pointer: Pointer, shape: Shape) -> tuple[Register, Register]:
    """Base address and element offsets of a pointer for an indexed DMA."""
    base = site.kernel.addresses.address(pointer)
    parts = list(pointer.residuals)
    parts.extend(_affine_parts(site, pointer.index.dimensions, shape))
    if not parts:
        return base, site.builder.integer(0)
    if len(parts) > 1:
        parts = [site.convert(part, DType.I64) for part in parts]
    offset = parts[0]
    if offset.dtype.bits < 32:  # signed, as Triton takes them: unsigned ones come extended
        offset = site.convert(offset, DType.I32)
    for part in parts[1:]:
        offset = site.elementwise("add_i", [offset, part], DType.I64)
    return base, offset


def _affine_parts(site: Site, dimensions: Sequence[Dimension], shape: Shape) -> list[Register]:
    """Each moving dimension as a compact tile of I64."""
    parts = []
    for number, dimension in enumerate(dimensions):
        if all(piece.is_zero for piece in dimension):
            continue
        split = tuple(piece.size for piece in dimension)
        total: Register | None = None
        for place, piece in enumerate(dimension):
            if not piece.is_zero:
                part = _piece(site, piece, tuple(piece.size if d == place else 1 for d in range(len(split))))
                total = part if total is None else site.elementwise("add_i", [total, part], DType.I64)
        assert total is not None
        ones = tuple(shape[d] if d == number else 1 for d in range(len(shape)))
        parts.append(site.builder.view(site.expand(total, split), ones))
    return parts


def _piece(site: Site, piece: Piece, shape: Shape) -> Register:
    counter = site.builder.view(site.make("iota", DType.I32, (piece.size,), [], (0,)), shape)
    part = site.elementwise("extend_s", [counter], DType.I64)
    if piece.start is not None and piece.wrap is not None:
        part = site.elementwise("add_i", [part, piece.start], DType.I64)
        part = site.elementwise("rem_s", [part, piece.wrap], DType.I64)
    if piece.start is not None and piece.wrap is not None and piece.carry is not None and piece.carries:
        number = site.elementwise("add_i", [site.elementwise("extend_s", [counter], DType.I64), piece.start], DType.I64)
        row = site.elementwise("div_s", [number, piece.wrap], DType.I64)
        row = site.elementwise("mul_i", [row, piece.carry], DType.I64)
        part = site.elementwise("mul_i", [part, piece.stride], DType.I64)
        return site.elementwise("add_i", [part, row], DType.I64)
    if piece.stride.bits != 1:
        part = site.elementwise("mul_i", [part, piece.stride], DType.I64)
    return part
