"""What each instruction computes, in the order of instructions.def."""

import math
from typing import Any

import numpy as np
import reference_interpreter as machine_module
from narrow_floats import round_to
from reference_interpreter import NUMPY, UNSIGNED, Fault, Instruction, Machine, cast, defines, dtype_of

from mtia_core.dtypes import DType

Array = Any
_VECTOR_ERF = np.vectorize(math.erf, otypes=[np.float64])
_VECTOR_ERFC = np.vectorize(math.erfc, otypes=[np.float64])
_VECTOR_LGAMMA = np.vectorize(
    lambda x: math.lgamma(x) if (x == x and x > 0) or x != math.floor(x) else math.inf, otypes=[np.float64]
)

FLOAT_BINARY = {
    "add_f": np.add,
    "sub_f": np.subtract,
    "mul_f": np.multiply,
    "div_f": np.divide,
    "rem_f": np.fmod,
    "max_f": np.fmax,
    "min_f": np.fmin,
    "maximum_f": np.maximum,
    "minimum_f": np.minimum,
    "pow_f": np.power,
    "atan2_f": np.arctan2,
    "copysign_f": np.copysign,
}
FLOAT_UNARY = {
    "neg_f": np.negative,
    "abs_f": np.abs,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "reciprocal": lambda x: 1 / x,
    "cbrt": np.cbrt,
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "log1p": np.log1p,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "gelu": lambda x: x * 0.5 * _VECTOR_ERFC(-x / math.sqrt(2)),
    "erf": _VECTOR_ERF,
    "erfc": _VECTOR_ERFC,
    "lgamma": _VECTOR_LGAMMA,
    "floor": np.floor,
    "ceil": np.ceil,
    "trunc": np.trunc,
    "round_even": np.rint,
}
EXACT = {
    "neg_f",
    "abs_f",
    "floor",
    "ceil",
    "trunc",
    "round_even",
    "copysign_f",
    "max_f",
    "min_f",
    "maximum_f",
    "minimum_f",
}


def register_all() -> None:
    """Importing this file registered everything; the call says so."""
    assert machine_module.OPERATIONS


def _wide(values: Array) -> Array:
    return np.asarray(values).astype(np.float64)


@defines(*FLOAT_BINARY)
def float_binary(m: Machine, item: Instruction) -> None:
    a, b = (m.read(operand) for operand in item.operands)
    m.write(item.results[0], FLOAT_BINARY[item.mnemonic](_wide(a), _wide(b)))


@defines("fma_f")
def fma(m: Machine, item: Instruction) -> None:
    a, b, c = (_wide(m.read(operand)) for operand in item.operands)
    m.write(item.results[0], a * b + c)


@defines("clamp_f")
def clamp(m: Machine, item: Instruction) -> None:
    a, low, high = (_wide(m.read(operand)) for operand in item.operands)
    if item.attributes[0]:
        m.write(item.results[0], np.minimum(np.maximum(a, low), high))
    else:
        m.write(item.results[0], np.fmin(np.fmax(a, low), high))


@defines(*FLOAT_UNARY)
def float_unary(m: Machine, item: Instruction) -> None:
    m.write(item.results[0], FLOAT_UNARY[item.mnemonic](_wide(m.read(item.operands[0]))))


@defines("is_nan", "is_inf", "is_finite")
def float_test(m: Machine, item: Instruction) -> None:
    test = {"is_nan": np.isnan, "is_inf": np.isinf, "is_finite": np.isfinite}[item.mnemonic]
    m.write(item.results[0], test(m.read(item.operands[0])))


def _unsigned(values: Array, dtype: DType) -> Array:
    return np.asarray(values).astype(NUMPY[dtype]).view(UNSIGNED[dtype])


def _integer(name: str, a: Array, b: Array, dtype: DType) -> Array:
    bits = dtype.bits
    ua, ub = _unsigned(a, dtype), _unsigned(b, dtype)
    if name in ("add_i", "sub_i", "mul_i"):
        return {"add_i": np.add, "sub_i": np.subtract, "mul_i": np.multiply}[name](ua, ub)
    if name in ("and_i", "or_i", "xor_i"):
        return {"and_i": np.bitwise_and, "or_i": np.bitwise_or, "xor_i": np.bitwise_xor}[name](ua, ub)
    if name in ("max_u", "min_u"):
        return (np.maximum if name == "max_u" else np.minimum)(ua, ub)
    if name in ("max_s", "min_s"):
        return (np.maximum if name == "max_s" else np.minimum)(a, b)
    if name in ("shl", "shr_u", "shr_s"):
        out = ub >= bits
        amount = np.where(out, 0, ub).astype(ua.dtype)
        if name == "shl":
            return np.where(out, 0, ua << amount)
        if name == "shr_u":
            return np.where(out, 0, ua >> amount)
        return np.where(out, np.where(np.asarray(a) < 0, -1, 0), np.asarray(a) >> amount.astype(np.asarray(a).dtype))
    a, b = np.broadcast_arrays(np.asarray(a), np.asarray(b))
    exact_a, exact_b = (ua, ub) if name in ("div_u", "rem_u", "mulhi_u") else (a, b)
    left, right = np.broadcast_arrays(exact_a, exact_b)
    result = [_exact(name, int(x), int(y), bits) for x, y in zip(left.ravel(), right.ravel(), strict=True)]
    wrapped = [(value + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1)) for value in result]
    return np.array(wrapped, np.int64).astype(NUMPY[dtype]).reshape(left.shape)


def _exact(name: str, x: int, y: int, bits: int) -> int:
    if name.startswith("mulhi"):
        return (x * y) >> bits
    if y == 0:
        return -1 if name.startswith("div") else x
    quotient = abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)
    return quotient if name.startswith("div") else x - y * quotient


INTEGER_BINARY = """
add_i sub_i mul_i div_s div_u rem_s rem_u max_s max_u min_s min_u and_i or_i xor_i shl shr_s shr_u
mulhi_u mulhi_s
""".split()  # noqa: SIM905 - a list of words


@defines(*INTEGER_BINARY)
def integer_binary(m: Machine, item: Instruction) -> None:
    a, b = (m.read(operand) for operand in item.operands)
    dtype = dtype_of(m, item, 0, operand=False)
    if dtype_of(m, item, 0) is not dtype or dtype_of(m, item, 1) is not dtype:
        raise Fault(f"operand types differ from {dtype.text}")
    result = _integer(item.mnemonic, a, b, dtype)
    m.write(item.results[0], result & 1 if dtype is DType.I1 else np.asarray(result).astype(NUMPY[dtype]))


@defines("abs_i", "popcount", "count_leading_zeros")
def integer_unary(m: Machine, item: Instruction) -> None:
    a, dtype = m.read(item.operands[0]), dtype_of(m, item)
    if item.mnemonic == "abs_i":
        m.write(item.results[0], np.abs(a))
        return
    count = (lambda x: x.bit_count()) if item.mnemonic == "popcount" else (lambda x: dtype.bits - x.bit_length())
    flat = [count(int(x)) for x in np.ravel(_unsigned(a, dtype))]
    m.write(item.results[0], np.array(flat, np.int64).reshape(np.shape(a)))


@defines("compare_i")
def compare_i(m: Machine, item: Instruction) -> None:
    a, b = (np.asarray(m.read(operand)) for operand in item.operands)
    predicate, dtype = item.attributes[0], dtype_of(m, item)
    if predicate >= 6 or dtype is DType.I1:
        a, b = _unsigned(a, dtype), _unsigned(b, dtype)
        if dtype is DType.I1 and 2 <= predicate < 6:
            a, b = -a.astype(np.int64), -b.astype(np.int64)
        predicate = predicate - 4 if predicate >= 6 else predicate
    test = [np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal][predicate]
    m.write(item.results[0], test(a, b))


@defines("compare_f")
def compare_f(m: Machine, item: Instruction) -> None:
    a, b = (np.asarray(m.read(operand)) for operand in item.operands)
    predicate = item.attributes[0]
    unordered = np.isnan(a) | np.isnan(b)
    tests = {1: a == b, 2: a > b, 3: a >= b, 4: a < b, 5: a <= b, 6: a != b}
    ordered = predicate if predicate < 8 else predicate - 7
    if predicate in (0, 15):
        result = np.full(unordered.shape, predicate == 15)
    elif predicate in (7, 14):
        result = ~unordered if predicate == 7 else unordered
    elif predicate < 7:
        result = tests[ordered] & ~unordered
    else:
        result = tests[ordered] | unordered
    m.write(item.results[0], result)


@defines("select")
def select(m: Machine, item: Instruction) -> None:
    condition, a, b = (m.read(operand) for operand in item.operands)
    m.write(item.results[0], np.where(condition, a, b))


@defines("convert_f")
def convert_f(m: Machine, item: Instruction) -> None:
    a, dtype = np.asarray(m.read(item.operands[0])), dtype_of(m, item, 0, operand=False)
    rounded = round_to(a, dtype)
    if item.attributes[0] == 1:
        toward = np.abs(rounded.astype(np.float64)) > np.abs(a.astype(np.float64))
        smaller = round_to(a.astype(np.float64) * (1 - 2.0**-5), dtype)  # a neighbour towards zero after refinement
        from narrow_floats import decode_bits, encode_bits

        previous = decode_bits(encode_bits(rounded, dtype) - 1, dtype)
        rounded = np.where(toward & np.isfinite(a), previous, rounded)
        del smaller
    m.write(item.results[0], rounded)


@defines("convert_s_to_f", "convert_u_to_f")
def integer_to_float(m: Machine, item: Instruction) -> None:
    a, source = m.read(item.operands[0]), dtype_of(m, item)
    a = _unsigned(a, source) if item.mnemonic == "convert_u_to_f" else np.asarray(a)
    target = dtype_of(m, item, 0, operand=False)
    m.write(item.results[0], a.astype(np.float64 if target is DType.F64 else np.float32))


@defines("convert_f_to_s", "convert_f_to_u")
def float_to_integer(m: Machine, item: Instruction) -> None:
    a, dtype = np.asarray(m.read(item.operands[0])), dtype_of(m, item, 0, operand=False)
    low, high = -(1 << (dtype.bits - 1)), (1 << (dtype.bits - 1)) - 1
    if item.mnemonic == "convert_f_to_u":
        low, high = 0, (1 << dtype.bits) - 1
    flat = [0 if math.isnan(x) else low if x <= low else high if x >= high else int(x) for x in np.ravel(a).tolist()]
    wrapped = [value - (1 << dtype.bits) if value >= 1 << (dtype.bits - 1) else value for value in flat]
    m.write(item.results[0], np.array(wrapped, np.int64).reshape(a.shape))


@defines("extend_s", "extend_u")
def integer_to_integer(m: Machine, item: Instruction) -> None:
    a, source = m.read(item.operands[0]), dtype_of(m, item)
    a = _unsigned(a, source) if item.mnemonic == "extend_u" else np.asarray(a)
    m.write(item.results[0], cast(a, dtype_of(m, item, 0, operand=False)))


@defines("bitcast")
def bitcast(m: Machine, item: Instruction) -> None:
    from narrow_floats import decode_bits, encode_bits

    a, source, target = np.asarray(m.read(item.operands[0])), dtype_of(m, item), dtype_of(m, item, 0, operand=False)
    bits = encode_bits(a, source) if source.is_float else _unsigned(a, source)
    m.write(item.results[0], decode_bits(bits, target) if target.is_float else bits.astype(NUMPY[target]))


@defines("copy")
def copy(m: Machine, item: Instruction) -> None:
    assert item.results[0] is not None
    m.write(item.results[0], np.broadcast_to(m.read(item.operands[0]), m.shape(item.results[0])))


@defines("iota")
def iota(m: Machine, item: Instruction) -> None:
    assert item.results[0] is not None
    m.write(item.results[0], np.arange(m.shape(item.results[0])[0], dtype=np.int64) + item.attributes[0])


@defines("permute")
def permute(m: Machine, item: Instruction) -> None:
    m.write(item.results[0], np.transpose(m.read(item.operands[0]), item.attributes))


@defines("slice")
def slice_(m: Machine, item: Instruction) -> None:
    axis, start, step = item.attributes
    assert item.results[0] is not None
    size = m.shape(item.results[0])[axis]
    m.write(item.results[0], np.take(m.read(item.operands[0]), start + step * np.arange(size), axis))


@defines("concatenate")
def concatenate(m: Machine, item: Instruction) -> None:
    m.write(item.results[0], np.concatenate([m.read(operand) for operand in item.operands], item.attributes[0]))


@defines("interleave")
def interleave(m: Machine, item: Instruction) -> None:
    m.write(item.results[0], np.stack([m.read(operand) for operand in item.operands], -1))


@defines("gather_local")
def gather_local(m: Machine, item: Instruction) -> None:
    a, index = (m.read(operand) for operand in item.operands)
    m.write(item.results[0], np.take_along_axis(a, index.astype(np.int64), item.attributes[0]))


@defines("sort")
def sort(m: Machine, item: Instruction) -> None:
    axis, descending = item.attributes
    a = np.sort(m.read(item.operands[0]), axis)
    m.write(item.results[0], np.flip(a, axis) if descending else a)


@defines("histogram")
def histogram(m: Machine, item: Instruction) -> None:
    a, mask = (m.read(operand) for operand in (*item.operands, None)[:2])
    assert item.results[0] is not None
    bins = m.shape(item.results[0])[0]
    flat = np.ravel(a) if mask is None else np.ravel(a)[np.ravel(mask)]
    m.write(item.results[0], np.bincount(flat[(flat >= 0) & (flat < bins)], minlength=bins)[:bins])


def _accumulate(kind: int, a: Array, dtype: DType, axis: int, scan: bool) -> Array:
    functions = [np.add, np.multiply, np.fmax, np.fmin, np.maximum, np.minimum, np.add, np.multiply]
    functions += [np.maximum, np.maximum, np.minimum, np.minimum, np.bitwise_and, np.bitwise_or, np.bitwise_xor]
    work = _unsigned(a, dtype) if kind in (9, 11) or dtype is DType.I1 else a
    if not scan:
        if dtype.is_integer:
            return functions[kind].reduce(work, axis=axis, dtype=work.dtype).astype(NUMPY[dtype])
        return functions[kind].reduce(_wide(work), axis=axis)
    return functions[kind].accumulate(
        work if dtype.is_integer else _wide(work), axis=axis, dtype=work.dtype if dtype.is_integer else None
    )


@defines("reduce")
def reduce(m: Machine, item: Instruction) -> None:
    kind, axis = item.attributes
    m.write(item.results[0], _accumulate(kind, m.read(item.operands[0]), dtype_of(m, item), axis, scan=False))


@defines("scan")
def scan(m: Machine, item: Instruction) -> None:
    kind, axis, reverse = item.attributes
    a, dtype = m.read(item.operands[0]), dtype_of(m, item)
    a = np.flip(a, axis) if reverse else a
    result = _accumulate(kind, a, dtype, axis, scan=True)
    m.write(item.results[0], np.flip(result, axis) if reverse else result)


@defines("reduce_index")
def reduce_index(m: Machine, item: Instruction) -> None:
    kind, axis, left = item.attributes
    a, positions = (m.read(operand) for operand in item.operands)
    work = _unsigned(a, dtype_of(m, item)) if kind in (9, 11) else a
    if kind in (2, 8, 9):
        best = np.fmax.reduce(work, axis=axis, keepdims=True)
    else:
        best = np.fmin.reduce(work, axis=axis, keepdims=True)
    tied = np.where(work == best, positions, np.iinfo(positions.dtype).max)
    m.write(item.results[0], np.squeeze(best, axis).astype(a.dtype))
    m.write(item.results[1], tied.min(axis))
    del left


# ---- memory
@defines("dma_load")
def dma_load(m: Machine, item: Instruction) -> None:
    base, other, mask = (m.read(operand) for operand in item.operands[:3])
    assert item.results[0] is not None
    shape, dtype = m.shape(item.results[0]), dtype_of(m, item, 0, operand=False)
    if len(item.operands) != 3 + 5 * len(shape):
        raise Fault(f"{len(item.operands)} operands for rank {len(shape)}")
    offset, valid = m.coordinates(item, 3, shape)
    valid = valid if mask is None else valid & np.broadcast_to(mask, shape)
    result = np.full(shape, 0 if other is None else other, NUMPY[dtype])
    result[valid] = m.memory.load(np.asarray(int(base) + dtype.bytes * offset)[valid], dtype)
    m.write(item.results[0], result)


@defines("dma_store")
def dma_store(m: Machine, item: Instruction) -> None:
    base, a, mask = (m.read(operand) for operand in item.operands[:3])
    a, dtype = np.asarray(a), dtype_of(m, item, 1)
    offset, valid = m.coordinates(item, 3, a.shape)
    valid = valid if mask is None else valid & np.broadcast_to(mask, a.shape)
    m.memory.store(np.asarray(int(base) + dtype.bytes * offset)[valid], a[valid], dtype)


def _addresses(m: Machine, item: Instruction, shape: tuple[int, ...], dtype: DType) -> Array:
    base, offset = (m.read(operand) for operand in item.operands[:2])
    offset = np.broadcast_to(np.asarray(offset).astype(np.int64), shape)
    return offset if base is None else int(base) + dtype.bytes * offset


@defines("gather")
def gather(m: Machine, item: Instruction) -> None:
    assert item.results[0] is not None
    shape, dtype = m.shape(item.results[0]), dtype_of(m, item, 0, operand=False)
    mask, other = (m.read(operand) for operand in item.operands[2:4])
    valid = np.ones(shape, bool) if mask is None else np.array(np.broadcast_to(mask, shape))
    result = np.full(shape, 0 if other is None else other, NUMPY[dtype])
    result[valid] = m.memory.load(np.asarray(_addresses(m, item, shape, dtype))[valid], dtype)
    m.write(item.results[0], result)


@defines("scatter")
def scatter(m: Machine, item: Instruction) -> None:
    a, dtype = np.asarray(m.read(item.operands[2])), dtype_of(m, item, 2)
    mask = m.read(item.operands[3])
    valid = np.ones(a.shape, bool) if mask is None else np.array(np.broadcast_to(mask, a.shape))
    m.memory.store(np.asarray(_addresses(m, item, a.shape, dtype))[valid], a[valid], dtype)


def _rows(m: Machine, item: Instruction, shape: tuple[int, ...], dtype: DType, mask: int) -> tuple[Array, Array]:
    """Addresses of all elements, and which of them are valid."""
    base, offset = (m.read(operand) for operand in item.operands[:2])
    column = np.arange(shape[-1])
    addresses = int(base) + dtype.bytes * (np.asarray(offset).astype(np.int64) + column)
    valid = np.ones(shape, bool)
    if (chosen := m.read(item.operands[mask])) is not None:
        valid &= np.asarray(chosen, bool)
    for place, bounds in ((4, np.greater_equal), (5, np.less)):
        limit = m.read(item.operands[place]) if place < len(item.operands) else None
        if limit is not None:
            valid &= bounds(column, limit)
    return addresses, valid


@defines("gather_rows")
def gather_rows(m: Machine, item: Instruction) -> None:
    assert item.results[0] is not None
    shape, dtype = m.shape(item.results[0]), dtype_of(m, item, 0, operand=False)
    addresses, valid = _rows(m, item, shape, dtype, 2)
    other = m.read(item.operands[3])
    result = np.full(shape, 0 if other is None else other, NUMPY[dtype])
    result[valid] = m.memory.load(addresses[valid], dtype)
    m.write(item.results[0], result)


@defines("scatter_rows")
def scatter_rows(m: Machine, item: Instruction) -> None:
    a, dtype = np.asarray(m.read(item.operands[2])), dtype_of(m, item, 2)
    addresses, valid = _rows(m, item, a.shape, dtype, 3)
    m.memory.store(addresses[valid], a[valid], dtype)


@defines("atomic_rmw")
def atomic_rmw(m: Machine, item: Instruction) -> None:
    a, dtype = np.asarray(m.read(item.operands[2])), dtype_of(m, item, 2)
    mask = m.read(item.operands[3])
    valid = np.ravel(np.ones(a.shape, bool) if mask is None else np.broadcast_to(mask, a.shape))
    addresses, values = np.ravel(_addresses(m, item, a.shape, dtype)), np.ravel(a)
    old = np.zeros(values.shape, NUMPY[dtype])
    for index in np.flatnonzero(valid):
        place = addresses[index : index + 1]
        old[index : index + 1] = m.memory.load(place, dtype)
        before, value = old[index], values[index]
        m.memory.store(place, round_or_cast(_combine(item.attributes[0], before, value, dtype), dtype), dtype)
    m.write(item.results[0], old.reshape(a.shape))


def round_or_cast(value: Array, dtype: DType) -> Array:
    return np.reshape(round_to(value, dtype) if dtype.is_float else cast(value, dtype), (1,))


def _combine(kind: int, before: Array, value: Array, dtype: DType) -> Array:
    if kind in (4, 5):
        return before + value
    if kind == 10:
        return value
    if kind in (6, 7):
        return np.fmax(before, value) if kind == 6 else np.fmin(before, value)
    b, v = _unsigned(before, dtype), _unsigned(value, dtype)
    table = {1: np.bitwise_and, 2: np.bitwise_or, 3: np.bitwise_xor, 8: np.maximum, 9: np.minimum}
    return table[kind](b, v)


@defines("atomic_cas")
def atomic_cas(m: Machine, item: Instruction) -> None:
    expected, desired = (np.asarray(m.read(operand)) for operand in item.operands[2:4])
    dtype = dtype_of(m, item, 2)
    addresses = np.ravel(_addresses(m, item, expected.shape, dtype))
    old = np.zeros(addresses.shape, NUMPY[dtype])
    for index, (wanted, new) in enumerate(zip(np.ravel(expected), np.ravel(desired), strict=True)):
        place = addresses[index : index + 1]
        old[index : index + 1] = m.memory.load(place, dtype)
        if old[index] == wanted:
            m.memory.store(place, np.reshape(new, (1,)), dtype)
    m.write(item.results[0], old.reshape(expected.shape))


# ---- control
@defines("program_id", "num_programs")
def program_id(m: Machine, item: Instruction) -> None:
    m.write(item.results[0], np.array((m.ids if item.mnemonic == "program_id" else m.grid)[item.attributes[0]]))


@defines("return_")
def return_(m: Machine, item: Instruction) -> None:
    raise machine_module._Return


@defines("barrier")
def barrier(m: Machine, item: Instruction) -> None:
    """Nothing runs at the same time here."""


@defines("assert_")
def assertion(m: Machine, item: Instruction) -> None:
    condition = m.read(item.operands[0])
    mask = m.read(item.operands[1]) if len(item.operands) > 1 else None
    holds = np.asarray(condition) if mask is None else np.asarray(condition) | ~np.asarray(mask)
    if not np.all(holds):
        raise Fault(f"assertion failed: {m.program.strings[item.attributes[0]]}")


@defines("check_range")
def check_range(m: Machine, item: Instruction) -> None:
    value, low, high = (np.asarray(m.read(operand)) for operand in item.operands[:3])
    fits = (low <= value) & (value <= high)
    mask = item.operands[4] if len(item.operands) > 4 else None
    if mask is not None:
        fits = fits | ~np.asarray(m.read(mask))
    if not np.all(fits):
        raise Fault(f"{m.program.strings[item.attributes[1]]}: {value[~fits].flat[0]}")


@defines("print")
def print_values(m: Machine, item: Instruction) -> None:
    prefix, kind = m.program.strings[item.attributes[0]], ("plain", "hex", "unsigned")[item.attributes[1]]
    values = " ".join(str(m.read(operand)) for operand in item.operands)
    m.printed.append(f"{tuple(m.ids)}{prefix}{values}{'' if kind == 'plain' else ' ' + kind}")


@defines("philox")
def philox(m: Machine, item: Instruction) -> None:
    seeds = [np.asarray(m.read(operand)) for operand in item.operands]
    k0, k1, c0, c1, c2, c3 = (np.asarray(x).astype(np.int64).astype(np.uint32) for x in seeds)
    for _ in range(item.attributes[0]):
        low = c2.astype(np.uint64) * np.uint64(0xCD9E8D57)
        high = c0.astype(np.uint64) * np.uint64(0xD2511F53)
        c0, c2 = (low >> np.uint64(32)).astype(np.uint32) ^ c1 ^ k0, (high >> np.uint64(32)).astype(np.uint32) ^ c3 ^ k1
        c1, c3 = low.astype(np.uint32), high.astype(np.uint32)
        k0, k1 = (k0 + np.uint32(0x9E3779B9)).astype(np.uint32), (k1 + np.uint32(0xBB67AE85)).astype(np.uint32)
    for number, value in zip(item.results, (c0, c1, c2, c3), strict=True):
        m.write(number, value.view(np.int32))
