"""Closed forms of pointer tensors, by the operation that makes them."""

from dataclasses import replace

from mtia_core.dtypes import DType
from triton_mtia_sim.analysis.forms import Pointer
from triton_mtia_sim.analysis.index_rules import choose, moved
from triton_mtia_sim.analysis.interfaces import Addresses, PointerRule
from triton_mtia_sim.ir.operations import Operation
from triton_mtia_sim.ir.types import PointerType, element_of, shape_of


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
    residual = analysis.kernel.data(operation.operands[1])
    if residual.is_scalar:
        shape = shape_of(operation.results[0].type)
        added = analysis.algebra.uniform(analysis.builder.widen(residual), shape)
        total = analysis.algebra.add(source.index, added)
        return None if total is None else replace(source, index=total)
    return replace(source, residuals=(*source.residuals, residual))


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
