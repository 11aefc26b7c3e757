"""Proves that a scalar is not negative, from how it is computed."""

from triton_mtia_sim.lowering.machine import Register

_BOTH = {"add_i", "mul_i", "max_u", "min_u", "min_s", "or_i", "div_s"}
_PASS = {"extend_s", "copy"}


def is_non_negative(register: Register, depth: int = 12) -> bool:
    """Whether the scalar can be shown to be >= 0 when no signed arithmetic overflows."""
    if register.is_constant:
        return register.integer >= 0
    code = register.definition
    if code is None or depth == 0:
        return False
    operands = [operand for operand in code.operands if operand is not None]
    if code.mnemonic in ("program_id", "num_programs"):
        return True
    if code.mnemonic == "for_begin":
        return is_non_negative(operands[0], depth - 1)
    if code.mnemonic in _BOTH:
        return all(is_non_negative(operand, depth - 1) for operand in operands)
    if code.mnemonic in ("and_i", "max_s"):
        return any(is_non_negative(operand, depth - 1) for operand in operands)
    if code.mnemonic in ("rem_s", "shr_s", "shr_u", "div_u", *_PASS):
        return is_non_negative(operands[0], depth - 1)
    if code.mnemonic == "rem_u":
        return is_non_negative(operands[1], depth - 1)
    if code.mnemonic == "extend_u":
        source = operands[0]
        return source.dtype.bytes < register.dtype.bytes
    if code.mnemonic == "select":
        return all(is_non_negative(operand, depth - 1) for operand in operands[1:])
    return False
