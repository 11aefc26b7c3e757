"""Finds closed forms of index and pointer tensors, so that a load or store becomes one DMA descriptor.

Index arithmetic is taken as exact: a 32-bit tensor index that overflows is a defect of the kernel. What has no closed
form is materialised and becomes an indexed DMA.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from mtia_core.dtypes import DType
from triton_mtia_sim.analysis import index_algebra as algebra
from triton_mtia_sim.analysis.forms import Affine, Pointer, Term
from triton_mtia_sim.analysis.mask import MaskAnalysis
from triton_mtia_sim.analysis.sign import is_non_negative
from triton_mtia_sim.ir.attributes import Dense
from triton_mtia_sim.ir.operations import Operation, Value
from triton_mtia_sim.ir.types import PointerType, TensorType, element_of, shape_of
from triton_mtia_sim.lowering.machine import Register
from triton_mtia_sim.lowering.registry import ELEMENTWISE
from triton_mtia_sim.lowering.site import element_dtype

if TYPE_CHECKING:
    from triton_mtia_sim.lowering.kernel import KernelLowering


class AddressAnalysis:
    """Closed forms of the values of one kernel, found on demand and remembered."""

    def __init__(self, kernel: "KernelLowering") -> None:
        self.kernel = kernel
        self.builder = kernel.builder
        self.indices: dict[Value, Affine | None] = {}
        self.pointers: dict[Value, Pointer | None] = {}
        self.uniform: dict[Value, bool] = {}
        self.masks = MaskAnalysis(self)

    # ---- integers
    def affine(self, value: Value) -> Affine | None:
        """Closed form of an integer scalar or tensor."""
        if value not in self.indices:
            self.indices[value] = None  # what depends on itself has none
            self.indices[value] = self._affine(value)
        return self.indices[value]

    def _affine(self, value: Value) -> Affine | None:
        dtype = element_dtype(value.type)
        if dtype is None or not dtype.is_integer or dtype is DType.I1:
            return None
        shape = shape_of(value.type)
        if not shape:
            return Affine(self.builder.widen(self.kernel.data(value)), ())
        operation = value.operation
        if operation is None:
            return self._carried_index(value)
        if self.is_uniform(value):
            return algebra.uniform(self.builder, self.builder.widen(self.kernel.data(value)), len(shape))
        rule = _INDEX_RULES.get(operation.name)
        return rule(self, operation) if rule else None

    def is_uniform(self, value: Value) -> bool:
        """Whether all elements are equal by construction, so that its data is a scalar."""
        known = self.uniform.get(value)
        if known is None:
            known = self.uniform[value] = self._is_uniform(value)
        return known

    def _is_uniform(self, value: Value) -> bool:
        if not isinstance(value.type, TensorType):
            return True
        operation = value.operation
        if operation is None:
            return False
        if operation.name == "tt.splat":
            return True
        if operation.name == "arith.constant":
            constant = operation.attributes["value"]
            return isinstance(constant, Dense) and constant.is_splat
        if operation.name in ELEMENTWISE or operation.name in (
            "tt.broadcast",
            "tt.expand_dims",
            "tt.reshape",
            "tt.trans",
        ):
            return all(self.is_uniform(operand) for operand in operation.operands)
        return False

    def uniform_scalar(self, value: Value) -> Register | None:
        """The one value of a uniform integer tensor, as I64."""
        form = self.affine(value)
        return form.offset if form is not None and form.is_uniform else None

    # ---- pointers
    def pointer(self, value: Value) -> Pointer | None:
        """Closed form of a pointer or a tensor of pointers."""
        if value not in self.pointers:
            self.pointers[value] = None
            self.pointers[value] = self._pointer(value)
        return self.pointers[value]

    def _pointer(self, value: Value) -> Pointer | None:
        element = element_of(value.type)
        if not isinstance(element, PointerType):
            return None
        size = self.kernel.dtype_of(element.pointee).bytes
        rank = len(shape_of(value.type))
        if rank == 0:
            return Pointer(self.kernel.data(value), size, algebra.uniform(self.builder, self.builder.integer(0), 0))
        operation = value.operation
        if operation is None:
            return self._carried_pointer(value)
        rule = _POINTER_RULES.get(operation.name)
        return rule(self, operation) if rule else None

    def address(self, pointer: Pointer) -> Register:
        """Byte address of the element at coordinates zero, residuals aside."""
        offset = self.builder.multiply(pointer.index.offset, self.builder.integer(pointer.element_bytes))
        return self.builder.add(pointer.base, offset)

    # ---- what loops and branches carry
    def _carried_index(self, value: Value) -> Affine | None:
        loop = self._for_loop_of(value)
        if loop is None:
            return None
        initial = self.affine(loop.operands[2 + value.index])
        if initial is None:
            return None
        carried = self.kernel.control.carry_scalar(loop, ("index", value.index))

        def follows() -> bool:
            form = Affine(carried.register, initial.terms)
            self.indices[value] = form
            following = self.affine(loop.regions[0].block.terminator.operands[value.index - 1])
            if following is None or following.terms != initial.terms:
                return False
            carried.sources = [initial.offset, following.offset]
            return True

        if not self._speculate(follows):
            self.kernel.control.forget(loop, ("index", value.index))
            return None
        return Affine(carried.register, initial.terms)

    def _carried_pointer(self, value: Value) -> Pointer | None:
        loop = self._for_loop_of(value)
        if loop is None:
            return None
        initial = self.pointer(loop.operands[2 + value.index])
        if initial is None:
            return None
        carried = self.kernel.control.carry_scalar(loop, ("address", value.index))
        form = Pointer(
            carried.register,
            initial.element_bytes,
            Affine(self.builder.integer(0), initial.index.terms),
            initial.residuals,
        )

        def follows() -> bool:
            self.pointers[value] = form
            following = self.pointer(loop.regions[0].block.terminator.operands[value.index - 1])
            if following is None or following.index.terms != initial.index.terms:
                return False
            if following.residuals != initial.residuals:
                return False
            carried.sources = [self.address(initial), self.address(following)]
            return True

        if not self._speculate(follows):
            self.kernel.control.forget(loop, ("address", value.index))
            return None
        return form

    def _for_loop_of(self, value: Value) -> Operation | None:
        block = value.block
        if block is None or block.owner.name != "scf.for" or value.index == 0:
            return None
        return block.owner

    def _speculate(self, attempt: Callable[[], bool]) -> bool:
        """Runs an attempt; where it fails, forgets everything that was derived from its assumption."""
        indices, pointers, uniform = dict(self.indices), dict(self.pointers), dict(self.uniform)
        masks, registers = dict(self.masks.known), dict(self.kernel.registers)
        if attempt():
            return True
        self.indices, self.pointers, self.uniform = indices, pointers, uniform
        self.masks.known, self.kernel.registers = masks, registers
        return False


# ---- rules of index tensors
def _range(analysis: AddressAnalysis, operation: Operation) -> Affine | None:
    builder = analysis.builder
    return Affine(builder.integer(operation.attributes["start"]), (Term(builder.integer(1)),))


def _sum(analysis: AddressAnalysis, operation: Operation) -> Affine | None:
    left, right = (analysis.affine(operand) for operand in operation.operands)
    if left is None or right is None:
        return None
    if operation.name == "arith.subi":
        right = algebra.negate(analysis.builder, right)
    return algebra.add(analysis.builder, left, right)


def _product(analysis: AddressAnalysis, operation: Operation) -> Affine | None:
    left, right = (analysis.affine(operand) for operand in operation.operands)
    if left is None or right is None:
        return None
    if right.is_uniform:
        return algebra.scale(analysis.builder, left, right.offset)
    return algebra.scale(analysis.builder, right, left.offset) if left.is_uniform else None


def _shift(analysis: AddressAnalysis, operation: Operation) -> Affine | None:
    left, amount = analysis.affine(operation.operands[0]), analysis.uniform_scalar(operation.operands[1])
    if left is None or amount is None or not amount.is_constant or not 0 <= amount.integer < 32:
        return None
    return algebra.scale(analysis.builder, left, analysis.builder.integer(1 << amount.integer))


def _remainder(analysis: AddressAnalysis, operation: Operation) -> Affine | None:
    left, divisor = analysis.affine(operation.operands[0]), analysis.uniform_scalar(operation.operands[1])
    if left is None or divisor is None:
        return None
    # remsi of a negative index is negative and no wrap: the access guards against it (lowering/memory.py).
    if operation.name == "arith.remui" and not (is_non_negative(left.offset) and is_non_negative(divisor)):
        return None
    return algebra.remainder(analysis.builder, left, divisor)


def _sign_extension(analysis: AddressAnalysis, operation: Operation) -> Affine | None:
    return analysis.affine(operation.operands[0])


def _zero_extension(analysis: AddressAnalysis, operation: Operation) -> Affine | None:
    form = analysis.affine(operation.operands[0])
    if form is None or not is_non_negative(form.offset):
        return None
    return form if all(is_non_negative(term.stride) for term in form.terms) else None


def _broadcast(analysis: AddressAnalysis, operation: Operation) -> Affine | None:
    form = analysis.affine(operation.operands[0])
    return None if form is None else _broadcast_form(analysis, operation, form)


def _broadcast_form(analysis: AddressAnalysis, operation: Operation, form: Affine) -> Affine:
    zero = Term(analysis.builder.integer(0))
    old, new = shape_of(operation.operands[0].type), shape_of(operation.results[0].type)
    offset = form.offset
    terms = []
    for term, a, b in zip(form.terms, old, new, strict=True):
        if a != b and not term.is_zero and term.start is not None:
            start = analysis.builder.scalar("rem_s", DType.I64, (term.start, _not_none(term.wrap)))
            offset = analysis.builder.add(offset, analysis.builder.multiply(term.stride, start))
        terms.append(term if a == b else zero)
    return Affine(offset, tuple(terms))


def _not_none(register: Register | None) -> Register:
    assert register is not None
    return register


def _expand_dims(analysis: AddressAnalysis, operation: Operation) -> Affine | None:
    form = analysis.affine(operation.operands[0])
    return None if form is None else _expand_form(analysis, operation, form)


def _expand_form(analysis: AddressAnalysis, operation: Operation, form: Affine) -> Affine:
    axis = operation.attributes["axis"]
    zero = Term(analysis.builder.integer(0))
    return form.with_terms((*form.terms[:axis], zero, *form.terms[axis:]))


def _reshape(analysis: AddressAnalysis, operation: Operation) -> Affine | None:
    form = analysis.affine(operation.operands[0])
    return None if form is None else _reshape_form(analysis, operation, form)


def _reshape_form(analysis: AddressAnalysis, operation: Operation, form: Affine) -> Affine | None:
    old, new = shape_of(operation.operands[0].type), shape_of(operation.results[0].type)
    return algebra.reshape(analysis.builder, form, old, new)


def _transpose(analysis: AddressAnalysis, operation: Operation) -> Affine | None:
    form = analysis.affine(operation.operands[0])
    return None if form is None else _transpose_form(analysis, operation, form)


def _transpose_form(analysis: AddressAnalysis, operation: Operation, form: Affine) -> Affine:
    return form.with_terms(tuple(form.terms[source] for source in operation.attributes["order"]))


_INDEX_RULES: dict[str, Callable[[AddressAnalysis, Operation], Affine | None]] = {
    "tt.make_range": _range,
    "arith.addi": _sum,
    "arith.subi": _sum,
    "arith.muli": _product,
    "arith.shli": _shift,
    "arith.remsi": _remainder,
    "arith.remui": _remainder,
    "arith.extsi": _sign_extension,
    "arith.extui": _zero_extension,
    "tt.broadcast": _broadcast,
    "tt.expand_dims": _expand_dims,
    "tt.reshape": _reshape,
    "tt.trans": _transpose,
}


# ---- rules of pointer tensors
def _splat_pointer(analysis: AddressAnalysis, operation: Operation) -> Pointer | None:
    source = analysis.pointer(operation.operands[0])
    if source is None:
        return None
    rank = len(shape_of(operation.results[0].type))
    index = algebra.uniform(analysis.builder, source.index.offset, rank)
    return Pointer(source.base, source.element_bytes, index)


def _advance_pointer(analysis: AddressAnalysis, operation: Operation) -> Pointer | None:
    source = analysis.pointer(operation.operands[0])
    if source is None:
        return None
    offset = analysis.affine(operation.operands[1])
    total = algebra.add(analysis.builder, source.index, offset) if offset is not None else None
    if total is not None:
        return Pointer(source.base, source.element_bytes, total, source.residuals)
    residual = analysis.kernel.data(operation.operands[1])
    if residual.is_scalar:
        added = algebra.uniform(analysis.builder, analysis.builder.widen(residual), len(source.index.terms))
        total = algebra.add(analysis.builder, source.index, added)
        return None if total is None else Pointer(source.base, source.element_bytes, total, source.residuals)
    return Pointer(source.base, source.element_bytes, source.index, (*source.residuals, residual))


def _reshaped_pointer(
    form: Callable[[AddressAnalysis, Operation, Affine], Affine | None],
) -> Callable[[AddressAnalysis, Operation], Pointer | None]:
    def rule(analysis: AddressAnalysis, operation: Operation) -> Pointer | None:
        source = analysis.pointer(operation.operands[0])
        if source is None:
            return None
        index = form(analysis, operation, source.index)
        if index is None:
            return None
        residuals = source.residuals
        if residuals and operation.name == "tt.expand_dims":
            axis = operation.attributes["axis"]
            residuals = tuple(
                analysis.builder.view(tile, (*tile.shape[:axis], 1, *tile.shape[axis:])) for tile in residuals
            )
        elif residuals and operation.name != "tt.broadcast":
            return None
        return Pointer(source.base, source.element_bytes, index, residuals)

    return rule


def _recast_pointer(analysis: AddressAnalysis, operation: Operation) -> Pointer | None:
    source = analysis.pointer(operation.operands[0])
    element = element_of(operation.results[0].type)
    assert isinstance(element, PointerType)
    same = source is not None and source.element_bytes == analysis.kernel.dtype_of(element.pointee).bytes
    return source if same else None


_POINTER_RULES: dict[str, Callable[[AddressAnalysis, Operation], Pointer | None]] = {
    "tt.splat": _splat_pointer,
    "tt.addptr": _advance_pointer,
    "tt.broadcast": _reshaped_pointer(_broadcast_form),
    "tt.expand_dims": _reshaped_pointer(_expand_form),
    "tt.reshape": _reshaped_pointer(_reshape_form),
    "tt.trans": _reshaped_pointer(_transpose_form),
    "tt.bitcast": _recast_pointer,
}
