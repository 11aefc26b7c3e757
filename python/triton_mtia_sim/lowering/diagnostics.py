"""Assertions, prints, barriers, and what is refused by name."""

from collections.abc import Sequence

from mtia_core.dtypes import DType
from triton_mtia_sim.ir.operations import Operation, Value
from triton_mtia_sim.ir.types import is_pointer
from triton_mtia_sim.lowering.registry import lowers_effect
from triton_mtia_sim.lowering.site import Site
from triton_mtia_sim.lowering.software_floats import decoded, format_of
from triton_mtia_sim.tiles.machine import Register


@lowers_effect("tt.assert")
def assertion(site: Site) -> None:
    """Faults with the message where the condition is false; of Inductor's checks of an index, with the index."""
    if not site.kernel.options.enable_assertions:
        return
    message = site.attribute("message", "")
    if message.startswith("index out of bounds") and _index_check(site, site.operation.operands[0]):
        return
    condition = site.operand(0)
    if not (condition.is_constant and condition.integer):
        site.emit("assert_", [], [condition, None], (site.kernel.string(message),))


_INDEX = "index {value} is out of bounds for a dimension of size {size}; give {low} to {high}"
# MLIR's predicates of arith.cmpi.
_LESS, _AT_MOST, _GREATER, _AT_LEAST = 2, 3, 4, 5


def _made_by(value: Value, name: str) -> Operation | None:
    made = value.operation
    return made if made is not None and made.name == name else None


def _index_check(site: Site, condition: Value) -> bool:
    """Lowers `(low <= index) & (index < size)`, perhaps `| ~mask`, to one check_range; False where it is another."""
    mask = None
    either = _made_by(condition, "arith.ori")
    if either is not None:
        condition, unless = either.operands
        inverse = _made_by(unless, "arith.xori")
        if inverse is None or not _is_true(site, inverse.operands[1]):
            return False
        mask = site.kernel.data(inverse.operands[0])
    both = _made_by(condition, "arith.andi")
    if both is None:
        return False
    bounds: dict[int, tuple[Value, Value]] = {}
    for side in both.operands:
        compare = _made_by(side, "arith.cmpi")
        if compare is None:
            return False
        bounds[int(compare.attributes["predicate"])] = (compare.operands[0], compare.operands[1])
    lower = bounds.get(_AT_LEAST) or (bounds[_AT_MOST][::-1] if _AT_MOST in bounds else None)
    upper = bounds.get(_LESS) or (bounds[_GREATER][::-1] if _GREATER in bounds else None)
    if lower is None or upper is None or lower[0] is not upper[0]:
        return False
    value, low, size = (site.kernel.data(item) for item in (lower[0], lower[1], upper[1]))
    if low.shape or size.shape:
        return False
    high = site.builder.scalar("sub_i", size.dtype, (size, site.builder.integer(1, size.dtype)))
    _emit_check(site, 0, _INDEX, value, low, high, None, mask)
    return True


def _is_true(site: Site, value: Value) -> bool:
    register = site.kernel.data(value)
    return bool(register.is_constant and register.integer)


_PLAIN, _HEX, _UNSIGNED = 0, 1, 2


@lowers_effect("tt.print")
def print_values(site: Site) -> None:
    """A line an element, in the format of Triton's GPU backends; pointers in hexadecimal."""
    prefix = site.attribute("prefix", "")
    if not site.operand_count:
        site.emit("print", [], [], (site.kernel.string(prefix), _PLAIN))
    signed = site.attribute("isSigned") or ()
    for index in range(site.operand_count):
        form = format_of(site.operand_type(index))
        value = site.full(index) if form is None else decoded(site, site.full(index), form, DType.F32)
        text = prefix if site.operand_count == 1 else f"{prefix}(operand {index}) "
        kind = _PLAIN if index >= len(signed) or signed[index] else _UNSIGNED
        if site.attribute("hex", False) or is_pointer(site.operand_type(index)):
            kind = _HEX
        site.emit("print", [], [value], (site.kernel.string(text), kind))


@lowers_effect("ttg.barrier", "gpu.barrier", "ttg.local_barrier")
def barrier(site: Site) -> None:
    """All units have finished."""
    site.emit("barrier", [], [])


@lowers_effect("llvm.intr.assume")
def assume(site: Site) -> None:
    """A promise that this compiler has no use for."""


_CHECKS = {"mtia.check_index": 0, "mtia.check_value": 1}


@lowers_effect("tt.elementwise_inline_asm")
def inline_assembly(site: Site) -> Sequence[Register]:
    """This chip's own mnemonics; refused where it is written in another vendor's instruction set."""
    text = str(site.attribute("asm_string", "")).strip()
    mnemonic, _, message = text.partition(" ")
    if mnemonic not in _CHECKS:
        first = (text.splitlines() or [""])[0]
        site.refuse(
            f"inline assembly of another chip, `{first}`",
            "write it in triton.language, and keep the assembly for the targets that triton.language.target_info names",
        )
    return _range_check(site, _CHECKS[mnemonic], message)


def _range_check(site: Site, kind: int, message: str) -> Sequence[Register]:
    """Operands: value, low, high, and where given a number for the message and a mask. The result is the value."""
    value, *bounds = site.operands()
    mask = bounds.pop() if len(bounds) == 4 else None
    low, high, *note = bounds
    if low.shape or high.shape or (note and note[0].shape):
        site.refuse("a check_range whose bounds are tiles", "give it scalars")
    _emit_check(site, kind, message, value, low, high, note[0] if note else None, mask)
    return [value]


def _emit_check(
    site: Site,
    kind: int,
    message: str,
    value: Register,
    low: Register,
    high: Register,
    note: Register | None,
    mask: Register | None,
) -> None:
    shape = site.broadcast_shape([value] if mask is None or not mask.shape else [value, mask])
    checked = site.expand(value, shape)
    if mask is not None and mask.shape:
        mask = site.expand(mask, shape)
    operands = [checked, site.convert(low, value.dtype), site.convert(high, value.dtype), note, mask]
    site.emit("check_range", [], operands, (kind, site.kernel.string(message)))
