"""Loads, stores and atomics: a DMA descriptor where the address analysis finds a closed form, else indexed DMA, by rows
where the last dimension alone has one.
"""

from collections.abc import Sequence

from mtia_core.dtypes import DType
from triton_mtia_sim.ir.operations import Value
from triton_mtia_sim.ir.types import PointerType, element_of, shape_of
from triton_mtia_sim.lowering.access import Access
from triton_mtia_sim.lowering.accesses import access, full_mask, indexed, indexed_way, joined, other_way, whole_mask
from triton_mtia_sim.lowering.registry import is_volatile, lowers, lowers_effect
from triton_mtia_sim.lowering.site import Site
from triton_mtia_sim.tiles.machine import VOLATILE, Register


def _segments(site: Site, names: int) -> list[Value | None]:
    """Operands by segment, None for an absent one."""
    sizes = site.attribute("operandSegmentSizes")
    operands: list[Value | None] = list(site.operation.operands)
    if sizes is None:
        return operands + [None] * (names - len(operands))
    result: list[Value | None] = []
    for size in sizes:
        result.append(operands.pop(0) if size else None)
    return result


def pointee(site: Site, index: int = 0) -> DType:
    """What the pointers of an operand point to."""
    element = element_of(site.operand_type(index))
    assert isinstance(element, PointerType)
    return site.kernel.dtype_of(element.pointee, site.operation)


@lowers("tt.load")
def load(site: Site) -> Register:
    """Masked-off elements are `other`, undefined where it is absent, and are never read."""
    pointer_value, mask_value, other_value = _segments(site, 3)
    assert pointer_value is not None
    dtype, shape = site.result_dtype(), site.result_shape()
    cache = (VOLATILE if is_volatile(site.operation) else site.attribute("cache", 1),)
    other = site.kernel.data(other_value) if other_value is not None and mask_value is not None else None
    blend = other if other is not None and not other.is_scalar else None
    other = None if blend is not None else other
    way = access(site, pointer_value, mask_value)
    if way.condition is not None:
        result = _load_either_way(site, way, other, cache)
    elif way.is_structured:
        kept = way.kept()
        is_tile = any(kept) or (way.mask is not None and not way.mask.is_scalar)
        compact = tuple(size if keep else 1 for size, keep in zip(way.split, kept, strict=True)) if is_tile else ()
        operands = [way.base, other, way.mask, *(way.dimensions(kept) if is_tile else [])]
        result = joined(site, way, site.make("dma_load", dtype, compact, operands, cache), kept, shape)
    elif way.row_bound is not None:
        operands = [way.base, way.offset, way.mask, other, way.row_bound.low, way.row_bound.high]
        result = site.make("gather_rows", dtype, shape, operands, cache)
    else:
        result = site.make("gather", dtype, shape, [way.base, *indexed_way(site, way, shape), other], cache)
    if blend is None or mask_value is None:
        return result
    return site.elementwise("select", [site.kernel.data(mask_value), result, blend], dtype)


def _load_either_way(site: Site, way: Access, other: Register | None, cache: tuple[int]) -> Register:
    """A descriptor where the tile stays inside its rows, else an address for each element."""
    shape = site.result_shape()
    result = site.tile(site.result_dtype(), shape)
    site.emit("if_begin", [], [way.condition])
    dimensions = way.dimensions([True] * len(way.split))
    site.emit("dma_load", [site.builder.view(result, way.split)], [way.base, other, way.mask, *dimensions], cache)
    site.emit("else_begin", [], [])
    base, offset, mask = other_way(site, way, shape)
    site.emit("gather", [result], [base, offset, mask, other], cache)
    site.emit("end", [], [])
    return result


@lowers_effect("tt.store")
def store(site: Site) -> None:
    """Masked-off elements are never written."""
    pointer_value, data, mask_value = (*site.operation.operands, None)[:3]
    assert pointer_value is not None and data is not None
    shape = shape_of(pointer_value.type)
    value = site.kernel.data(data)
    cache = (site.attribute("cache", 1),)
    way = access(site, pointer_value, mask_value)
    if way.is_structured:
        either = way.condition is not None
        full = site.builder.view(site.expand(value, shape), way.split)
        if either:
            site.emit("if_begin", [], [way.condition])
        site.emit("dma_store", [], [way.base, full, way.mask, *way.dimensions([True] * len(way.split))], cache)
        if either:
            site.emit("else_begin", [], [])
            base, offset, mask = other_way(site, way, shape)
            site.emit("scatter", [], [base, offset, site.builder.view(full, shape), mask], cache)
            site.emit("end", [], [])
    elif way.row_bound is not None:
        full = site.expand(value, shape)
        operands = [way.base, way.offset, full, way.mask, way.row_bound.low, way.row_bound.high]
        site.emit("scatter_rows", [], operands, cache)
    else:
        offset, mask = indexed_way(site, way, shape)
        site.emit("scatter", [], [way.base, offset, site.expand(value, shape), mask], cache)


def _indexed_access(
    site: Site, pointer_value: Value, mask_value: Value | None
) -> tuple[Register | None, Register, Register | None]:
    shape = shape_of(pointer_value.type)
    site.kernel.accesses[site.operation] = None
    pointer = site.kernel.addresses.pointer(pointer_value)
    mask = whole_mask(site, full_mask(site, mask_value), shape)
    if pointer is None or pointer.index.checks:
        return None, site.expand(site.kernel.data(pointer_value), shape), mask
    base, offset = indexed(site, pointer, shape)
    return base, site.expand(offset, shape), mask


@lowers_effect("tt.atomic_rmw")
def atomic_rmw(site: Site) -> Sequence[Register]:
    """Returns the old values."""
    pointer_value, data, mask_value = (*site.operation.operands, None)[:3]
    assert pointer_value is not None and data is not None
    base, offset, mask = _indexed_access(site, pointer_value, mask_value)
    shape = shape_of(pointer_value.type)
    old = site.tile(site.result_dtype(), shape) if site.operation.results[0].users else None
    value = site.expand(site.kernel.data(data), shape)
    site.emit("atomic_rmw", [old], [base, offset, value, mask], (site.attribute("atomic_rmw_op"),))
    return [old if old is not None else site.builder.number(0, site.result_dtype())]


@lowers_effect("tt.atomic_cas")
def atomic_cas(site: Site) -> Sequence[Register]:
    """Returns the old values."""
    pointer_value, expected, desired = site.operation.operands
    base, offset, _ = _indexed_access(site, pointer_value, None)
    shape = shape_of(pointer_value.type)
    values = [site.expand(site.kernel.data(value), shape) for value in (expected, desired)]
    old = site.tile(site.result_dtype(), shape)
    site.emit("atomic_cas", [old], [base, offset, *values])
    return [old]


@lowers("tt.addptr")
def advance_pointer(site: Site) -> Register:
    """Pointers as data: byte addresses."""
    base, offset = site.operands()
    builder = site.builder
    size = builder.integer(pointee(site).bytes)
    wide = site.elementwise("extend_s", [offset], DType.I64) if offset.dtype is not DType.I64 else offset
    scaled = site.elementwise("mul_i", [wide, size], DType.I64)
    return site.elementwise("add_i", [base, scaled], DType.I64)
