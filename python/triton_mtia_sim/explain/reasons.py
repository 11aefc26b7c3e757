"""Says in words why an access is one descriptor, or what keeps it from being one."""

from mtia_core.dtypes import DType
from triton_mtia_sim.analysis.forms import Bound, Piece
from triton_mtia_sim.analysis.index_rules import INDEX_RULES
from triton_mtia_sim.analysis.pointer_rules import POINTER_RULES
from triton_mtia_sim.ir.operations import Operation, Value, base_name
from triton_mtia_sim.ir.types import element_dtype, is_pointer, shape_of
from triton_mtia_sim.lowering.access import Access
from triton_mtia_sim.lowering.kernel import KernelLowering
from triton_mtia_sim.lowering.ranks import HIGHEST_RANK
from triton_mtia_sim.tiles.machine import Register

_SIGNS = {"add_i": "+", "sub_i": "-", "mul_i": "*", "div_s": "//", "rem_s": "%", "shl": "<<"}
_AXES = ("program_id(0)", "program_id(1)", "program_id(2)")
_CULPRITS = {
    "tt.load": "is loaded from memory",
    "arith.muli": "is a product of two indices that both move",
    "arith.addi": "adds two remainders of one dimension by different divisors",
    "arith.subi": "adds two remainders of one dimension by different divisors",
    "arith.select": "is chosen element by element",
    "tt.reshape": "does not fit the new shape dimension by dimension",
    "tt.cat": "is put together of two tiles",
}
_DIVISION = (
    "is a quotient or remainder that is not the same for whole runs of the tile: "
    "use a constant divisor that divides the block, or that the block divides"
)


class Names:
    """Scalars of a kernel in the kernel's own terms."""

    def __init__(self, kernel: KernelLowering) -> None:
        self.known = {argument.register: argument.name for argument in kernel.arguments}
        for value, register in kernel.registers.items():
            if value.name and register.is_scalar and not register.is_constant:
                self.known.setdefault(register, base_name(value.name))

    def of(self, register: Register, depth: int = 3) -> str:
        """A formula of arguments, loop indices and program ids."""
        if register.is_constant:
            return str(register.integer)
        if register in self.known:
            return self.known[register]
        code = register.definition
        if code is None or depth == 0:
            return "a number"
        operands = [operand for operand in code.operands if operand is not None]
        if code.mnemonic in ("extend_s", "copy"):
            return self.of(operands[0], depth)
        if code.mnemonic == "program_id":
            return _AXES[code.attributes[0]]
        if code.mnemonic in _SIGNS:
            left, right = (self.of(operand, depth - 1) for operand in operands)
            return f"({left} {_SIGNS[code.mnemonic]} {right})"
        if code.mnemonic in ("max_s", "min_s"):
            return f"{code.mnemonic[:3]}({', '.join(self.of(operand, depth - 1) for operand in operands)})"
        return "a number"


def why_structured(names: Names, way: Access) -> str:
    """The descriptor in words."""
    if not way.pieces:
        return "a single element"
    parts = [_dimension(names, piece, bound) for piece, bound in zip(way.pieces, way.bounds, strict=True)]
    text = "one descriptor, " + " x ".join(parts)
    if way.condition is not None:
        text += ", where the tile stays inside one row of the quotient, else an address for each element"
    if way.mask is not None:
        text += ", under a condition" if way.mask.is_scalar else ", under a mask of data"
    return text


def _dimension(names: Names, piece: Piece, bound: Bound) -> str:
    text = f"{piece.size} with stride {names.of(piece.stride)}"
    if piece.wrap is not None:
        text += f" wrapping at {names.of(piece.wrap)}"
    if bound.low is not None:
        text += f" from {names.of(bound.low)}"
    if bound.high is not None:
        text += f" below {names.of(bound.high)}"
    return text


def why_indexed(kernel: KernelLowering, operation: Operation) -> str:
    """What keeps an access from being a descriptor, with the line where it comes from."""
    if operation.name.startswith("tt.atomic"):
        return "an atomic takes an address for each element"
    value = operation.operands[0]
    pointer = kernel.addresses.pointer(value)
    if pointer is None:
        return _pointer_culprit(kernel, value)
    if not pointer.is_structured:
        return _residual_culprit(kernel, value)
    if sum(len(dimension) for dimension in pointer.index.dimensions) > HIGHEST_RANK:
        return f"its index falls into more than {HIGHEST_RANK} dimensions"
    return "its 32-bit index may wrap around where a mask of data leaves elements out: compute it in 64 bits"


def _pointer_culprit(kernel: KernelLowering, value: Value) -> str:
    operation = value.operation
    if operation is None or operation.name.startswith("scf."):
        where = "a loop" if operation is None or operation.name != "scf.if" else "a branch"
        return f"{where} carries pointers whose distances change: advance them all by one number"
    if operation.name == "arith.select":
        for operand in operation.operands[1:]:
            if kernel.addresses.pointer(operand) is None:
                return _pointer_culprit(kernel, operand)
        return f"the pointers are chosen element by element ({operation.location})"
    if operation.name in POINTER_RULES:
        for operand in operation.operands:
            if is_pointer(operand.type) and kernel.addresses.pointer(operand) is None:
                return _pointer_culprit(kernel, operand)
        return f"{operation.name} ({operation.location}) leaves no closed form"
    if operation.name == "tt.load":
        return f"the pointers are loaded from memory ({operation.location})"
    return f"the pointers come from {operation.name} ({operation.location})"


def _residual_culprit(kernel: KernelLowering, value: Value) -> str:
    operation = value.operation
    while operation is not None and operation.name in POINTER_RULES:
        source = operation.operands[0]
        pointer = kernel.addresses.pointer(source)
        if operation.name == "tt.addptr" and pointer is not None and pointer.is_structured:
            return _index_culprit(kernel, operation.operands[1])
        operation = source.operation
    return "a loop carries pointers with an index that is data"


def _index_culprit(kernel: KernelLowering, value: Value) -> str:
    operation = value.operation
    if operation is None or operation.name.startswith("scf."):
        return "its index is carried by a loop or branch and changes its form there"
    for operand in operation.operands if operation.name in INDEX_RULES else ():
        dtype = element_dtype(operand.type)
        moves = shape_of(operand.type) and dtype is not None and dtype.is_integer and dtype is not DType.I1
        if moves and kernel.addresses.affine(operand) is None:
            return _index_culprit(kernel, operand)
    if "div" in operation.name or "rem" in operation.name or operation.name in ("arith.andi", "arith.shrsi"):
        what = _DIVISION
    else:
        what = _CULPRITS.get(operation.name, f"comes from {operation.name}, which has no closed form")
    return f"its index {what} ({operation.location})"
