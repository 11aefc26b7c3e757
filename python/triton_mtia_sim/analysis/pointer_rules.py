"""Closed forms of pointer tensors, by the operation that makes them."""

from dataclasses import replace

from mtia_core.dtypes import DType
from triton_mtia_sim.analysis.forms import Affine, Pointer
from triton_mtia_sim.analysis.index_rules import choose, moved
from triton_mtia_sim.analysis.interfaces import Addresses, PointerRule
from triton_mtia_sim.ir.operations import Operation, Value
from triton_mtia_sim.ir.types import PointerType, element_dtype, element_of, shape_of
from triton_mtia_sim.tiles.machine import Register


def _splat(analysis: Addresses, operation: Operation) -> Pointer | None:
    source = analysis.pointer(operation.operands[0])
    if source is None:
        return None
    shape = shape_of(operation.results[0].type)
    return replace(source, index=analysis.algebra.uniform(source.index.offset, shape))


def _advance(analysis: Addresses, operation: Operation) -> Pointer | None:
    source = analysis.pointer(operation.operands[0])
    if source is None:
        return None
    offset = analysis.exact(operation.operands[1])
    total = analysis.algebra.add(source.index, offset) if offset is not None else None
    if total is not None:
        return replace(source, index=total)
    forms, residuals = _terms(analysis, operation.operands[1])
    index: Affine | None = source.index
    for form in forms:
        index = analysis.algebra.add(index, form) if index is not None else None
    if index is None:
        index, residuals = source.index, [analysis.kernel.data(operation.operands[1])]
    if len(residuals) == 1 and residuals[0].is_scalar:
        shape = shape_of(operation.results[0].type)
        added = analysis.algebra.uniform(analysis.builder.widen(residuals[0]), shape)
        total = analysis.algebra.add(index, added)
        return None if total is None else replace(source, index=total)
    return replace(source, index=index, residuals=(*source.residuals, *residuals))


def _terms(analysis: Addresses, value: Value) -> tuple[list[Affine], list[Register]]:
    """An index that has no closed form as a sum of one that has and of data, so that rows of a table stay rows.

    Of a 32-bit sum that wraps around, this is another address: 2^32 elements from the kernel's own, which is as far
    outside of a tensor.
    """
    operation, dtype = value.operation, element_dtype(value.type)
    wraps_early = dtype is None or dtype.bits < 32
    if operation is not None and operation.name == "arith.addi" and not wraps_early:
        for part, rest in (operation.operands, reversed(operation.operands)):
            form = analysis.exact(part)
            if form is not None and not form.checks:
                forms, residuals = _terms(analysis, rest)
                return [form, *forms], residuals
    if operation is not None and operation.name == "tt.broadcast" and not wraps_early:
        forms, residuals = _terms(analysis, operation.operands[0])
        moving = [moved(analysis, operation, form) for form in forms]
        known = [form for form in moving if form is not None]
        if forms and len(known) == len(forms):
            return known, residuals
    return [], [analysis.kernel.data(value)]


def _moved(analysis: Addresses, operation: Operation) -> Pointer | None:
    source = analysis.pointer(operation.operands[0])
    index = moved(analysis, operation, source.index) if source is not None else None
    if source is None or index is None:
        return None
    residuals = source.residuals
    if residuals and operation.name == "tt.expand_dims":
        axis = operation.attributes["axis"]
        residuals = tuple(
            analysis.builder.view(tile, (*tile.shape[:axis], 1, *tile.shape[axis:])) for tile in residuals
        )
    elif residuals and operation.name != "tt.broadcast":
        return None
    return replace(source, index=index, residuals=residuals)


def _recast(analysis: Addresses, operation: Operation) -> Pointer | None:
    source = analysis.pointer(operation.operands[0])
    element = element_of(operation.results[0].type)
    assert isinstance(element, PointerType)
    same = source is not None and source.element_bytes == analysis.kernel.dtype_of(element.pointee).bytes
    return source if same else None


def _selection(analysis: Addresses, operation: Operation) -> Pointer | None:
    condition, *values = operation.operands
    if not analysis.is_uniform(condition):
        return None
    left, right = (analysis.pointer(value) for value in values)
    if left is None or right is None or left.residuals != right.residuals or left.element_bytes != right.element_bytes:
        return None
    if left.index.checks != right.index.checks:
        return None
    decision = analysis.kernel.data(condition)
    zero = analysis.algebra.zero
    first, second = replace(left.index, offset=zero), replace(right.index, offset=zero)
    index = choose(analysis, decision, first, second)
    if index is None:
        return None
    base = analysis.builder.scalar("select", DType.I64, (decision, analysis.address(left), analysis.address(right)))
    return replace(left, base=base, index=index)


POINTER_RULES: dict[str, PointerRule] = {
    "tt.splat": _splat,
    "tt.addptr": _advance,
    "tt.broadcast": _moved,
    "tt.expand_dims": _moved,
    "tt.reshape": _moved,
    "tt.trans": _moved,
    "tt.bitcast": _recast,
    "arith.select": _selection,
}
