"""Loads, stores and atomics: one DMA descriptor where the address analysis finds a closed form, else indexed DMA."""

from collections.abc import Sequence
from dataclasses import dataclass

from mtia_core.dtypes import DType
from triton_mtia_sim.analysis.forms import Bound, Mask, Pointer, Term
from triton_mtia_sim.analysis.sign import is_non_negative
from triton_mtia_sim.ir.operations import Value
from triton_mtia_sim.ir.types import PointerType, element_of, shape_of
from triton_mtia_sim.lowering.machine import Register, Shape
from triton_mtia_sim.lowering.ranks import HIGHEST_RANK
from triton_mtia_sim.lowering.registry import lowers, lowers_effect
from triton_mtia_sim.lowering.site import Site

_UNBOUNDED: list[Register | None] = [None, None, None, None]


def mask_register(site: Site, mask: Mask) -> Register | None:
    """Conditions and residuals of a mask as one operand; its bounds are the descriptor's."""
    result: Register | None = None
    for condition in mask.conditions:
        result = condition if result is None else site.builder.both(result, condition)
    for residual in mask.residuals:
        result = residual if result is None else site.elementwise("and_i", [result, residual], DType.I1)
    return result


def whole_mask(site: Site, mask: Register | None, shape: Shape) -> Register | None:
    """A mask as a scalar or a full tile."""
    return mask if mask is None or mask.is_scalar else site.expand(mask, shape)


def full_mask(site: Site, value: Value | None) -> Register | None:
    """A mask as data, None where it is absent or known to hold."""
    if value is None:
        return None
    register = site.kernel.data(value)
    return None if register.is_constant and register.integer else register


@dataclass(frozen=True)
class Access:
    """Where a load or store goes: a descriptor's dimensions, or offsets of an indexed DMA."""

    base: Register | None
    offset: Register | None
    terms: tuple[Term, ...]
    bounds: tuple[Bound, ...]
    mask: Register | None

    @property
    def is_structured(self) -> bool:
        return self.offset is None

    def indexed(self, site: Site, shape: Shape) -> tuple[Register, Register | None]:
        """Offsets and mask of an indexed DMA, which are full tiles (a mask may be a scalar)."""
        assert self.offset is not None
        return site.expand(self.offset, shape), whole_mask(site, self.mask, shape)

    def dimensions(self, kept: Sequence[bool]) -> list[Register | None]:
        """Descriptor operands; a dimension that is not kept has size 1."""
        operands: list[Register | None] = []
        for term, bound, keep in zip(self.terms, self.bounds, kept, strict=True):
            bounded = [bound.low, bound.high, term.start, term.wrap] if keep else _UNBOUNDED
            operands.extend([term.stride, *bounded])
        return operands


def access(site: Site, pointer_value: Value, mask_value: Value | None) -> Access:
    """The way to the elements that a pointer and a mask select."""
    analysis = site.kernel.addresses
    shape = shape_of(pointer_value.type)
    pointer = analysis.pointer(pointer_value)
    if pointer is not None and pointer.is_structured and len(shape) <= HIGHEST_RANK:
        bounds: tuple[Bound, ...] = (Bound(),) * len(shape)
        mask = None
        if mask_value is not None:
            form = analysis.masks.mask(mask_value)
            bounds, mask = form.bounds, mask_register(site, form)
        guard_wraps(site, pointer.index.terms)
        return Access(analysis.address(pointer), None, pointer.index.terms, bounds, mask)
    mask = full_mask(site, mask_value)
    if pointer is not None:
        base, offset = indexed(site, pointer, shape)
        return Access(base, offset, (), (), mask)
    return Access(None, site.kernel.data(pointer_value), (), (), mask)


_NEGATIVE_WRAP = "the remainder of a negative index addresses memory; add the divisor to the index first"


def guard_wraps(site: Site, terms: Sequence[Term]) -> None:
    """A descriptor wraps to 0 <= coordinate < wrap; remsi of a negative number is negative: a fault, no wrong wrap."""
    for term in terms:
        if term.start is None or term.start in site.kernel.guarded or is_non_negative(term.start):
            continue
        site.kernel.guarded.add(term.start)
        holds = site.builder.scalar("compare_i", DType.I1, (term.start, site.builder.integer(0)), (5,))
        site.builder.emit(holds.home, "assert_", [], [holds, None], (site.kernel.string(_NEGATIVE_WRAP),))


def indexed(site: Site, pointer: Pointer, shape: Shape) -> tuple[Register, Register]:
    """Base address and element offsets of a pointer for an indexed DMA."""
    base = site.kernel.addresses.address(pointer)
    parts = list(pointer.residuals)
    parts.extend(affine_parts(site, pointer.index.terms, shape))
    if not parts:
        return base, site.builder.integer(0)
    if len(parts) > 1:
        parts = [site.convert(part, DType.I64) for part in parts]
    offset = parts[0]
    for part in parts[1:]:
        offset = site.elementwise("add_i", [offset, part], DType.I64)
    return base, offset


def affine_parts(site: Site, terms: Sequence[Term], shape: Shape) -> list[Register]:
    """Each moving term as a compact tile of I64."""
    parts = []
    for dimension, (term, size) in enumerate(zip(terms, shape, strict=True)):
        if term.is_zero or (size == 1 and term.start is None):
            continue
        ones = tuple(size if d == dimension else 1 for d in range(len(shape)))
        counter = site.builder.view(site.make("iota", DType.I32, (size,), [], (0,)), ones)
        part = site.elementwise("extend_s", [counter], DType.I64)
        if term.start is not None and term.wrap is not None:
            part = site.elementwise("add_i", [part, term.start], DType.I64)
            part = site.elementwise("rem_s", [part, term.wrap], DType.I64)
        if term.stride.bits != 1:
            part = site.elementwise("mul_i", [part, term.stride], DType.I64)
        parts.append(part)
    return parts


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


def _kept(way: Access, shape: Shape) -> list[bool]:
    """Dimensions along which the elements differ; the others are loaded once and broadcast."""
    mask_shape = way.mask.shape if way.mask is not None and way.mask.shape else (1,) * len(shape)
    return [
        not term.is_zero or bound != Bound() or masked != 1
        for term, bound, masked in zip(way.terms, way.bounds, mask_shape, strict=True)
    ]


def pointee(site: Site, index: int = 0) -> DType:
    """What the pointers of an operand point to."""
    element = element_of(site.operand_type(index))
    assert isinstance(element, PointerType)
    return site.kernel.dtype_of(element.pointee, site.operation)


@lowers("tt.load")
def load(site: Site) -> Register:
    """Masked-off elements are `other`, zero where it is absent, and are never read."""
    pointer_value, mask_value, other_value = _segments(site, 3)
    assert pointer_value is not None
    dtype, shape = site.result_dtype(), site.result_shape()
    cache = (site.attribute("cache", 1),)
    other = site.kernel.data(other_value) if other_value is not None and mask_value is not None else None
    blend = other if other is not None and not other.is_scalar else None
    other = None if blend is not None or (other is not None and other.bits == 0) else other
    way = access(site, pointer_value, mask_value)
    if way.is_structured:
        kept = _kept(way, shape)
        compact = tuple(size if keep else 1 for size, keep in zip(shape, kept, strict=True)) if any(kept) else ()
        operands = [way.base, other, way.mask, *(way.dimensions(kept) if compact else [])]
        result = site.make("dma_load", dtype, compact, operands, cache)
    else:
        result = site.make("gather", dtype, shape, [way.base, *way.indexed(site, shape), other], cache)
    if blend is None or mask_value is None:
        return result
    return site.elementwise("select", [site.kernel.data(mask_value), result, blend], dtype)


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
        full = site.expand(value, shape)
        site.emit("dma_store", [], [way.base, full, way.mask, *way.dimensions([True] * len(shape))], cache)
    else:
        offset, mask = way.indexed(site, shape)
        site.emit("scatter", [], [way.base, offset, site.expand(value, shape), mask], cache)


def _indexed_access(
    site: Site, pointer_value: Value, mask_value: Value | None
) -> tuple[Register | None, Register, Register | None]:
    shape = shape_of(pointer_value.type)
    pointer = site.kernel.addresses.pointer(pointer_value)
    mask = whole_mask(site, full_mask(site, mask_value), shape)
    if pointer is None:
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
