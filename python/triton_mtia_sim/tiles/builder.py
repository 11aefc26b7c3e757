"""Makes registers and instructions; scalar ones are folded, shared and moved to where their operands are ready."""

import struct
from collections.abc import Sequence

from mtia_core.dtypes import DType
from triton_mtia_sim.ir.operations import UNKNOWN_LOCATION, SourceLocation
from triton_mtia_sim.tiles.folding import fold
from triton_mtia_sim.tiles.machine import Bucket, Code, Register, Shape, wrap_integer


class Builder:
    """Owns the buckets of one kernel. `entry` is the bucket where arguments and constants live."""

    def __init__(self) -> None:
        self.bucket_count = 0
        self.entry = self.bucket()
        self.constants: dict[tuple[DType, int], Register] = {}
        self.shared: dict[tuple[object, ...], Register] = {}
        self.location: SourceLocation = UNKNOWN_LOCATION

    def bucket(self) -> Bucket:
        """A new point, after all earlier ones."""
        self.bucket_count += 1
        return Bucket(self.bucket_count)

    # ---- constants
    def integer(self, value: int, dtype: DType = DType.I64) -> Register:
        """An integer constant, wrapped to its width."""
        return self._constant(dtype, wrap_integer(value, dtype))

    def floating(self, value: float, dtype: DType) -> Register:
        """A float constant, rounded to nearest even."""
        return self._constant(dtype, float_bits(value, dtype))

    def bits(self, bits: int, dtype: DType) -> Register:
        """A float constant by its bits."""
        return self._constant(dtype, bits)

    def number(self, value: float, dtype: DType) -> Register:
        """A constant of either sort."""
        return self.integer(int(value), dtype) if dtype.is_integer else self.floating(value, dtype)

    def _constant(self, dtype: DType, bits: int) -> Register:
        key = (dtype, bits)
        if key not in self.constants:
            self.constants[key] = Register(dtype, (), self.entry, bits)
        return self.constants[key]

    # ---- instructions
    def emit(
        self,
        bucket: Bucket,
        mnemonic: str,
        results: Sequence[Register | None],
        operands: Sequence[Register | None],
        attributes: tuple[int, ...] = (),
    ) -> Code:
        """Appends an instruction to a bucket."""
        code = Code(mnemonic, list(results), list(operands), attributes, self.location)
        for register in results:
            if register is not None and register.definition is None:
                register.definition = code
        bucket.code.append(code)
        return code

    def register(self, dtype: DType, shape: Shape, home: Bucket) -> Register:
        """A register that something else defines."""
        return Register(dtype, shape, home)

    def view(self, tile: Register, shape: Shape, dtype: DType | None = None) -> Register:
        """The same storage in another shape (same order of elements) or under another dtype of the same width."""
        if tile.shape == shape and dtype in (None, tile.dtype):
            return tile
        result = Register(tile.dtype if dtype is None else dtype, shape, tile.home)
        result.root = tile.root
        result.definition = tile.definition
        return result

    def scalar(
        self, mnemonic: str, dtype: DType, operands: Sequence[Register], attributes: tuple[int, ...] = ()
    ) -> Register:
        """A pure scalar instruction, folded and shared, placed where its last operand is defined."""
        folded = fold(mnemonic, dtype, list(operands), attributes)
        if folded is not None:
            return folded if isinstance(folded, Register) else self.integer(folded, dtype)
        key = (mnemonic, dtype, attributes, *map(id, operands))
        if key in self.shared:
            return self.shared[key]
        home = self.entry
        for operand in operands:
            if operand.home.order > home.order:
                home = operand.home
        result = Register(dtype, (), home)
        self.emit(home, mnemonic, [result], operands, attributes)
        self.shared[key] = result
        return result

    # ---- 64-bit scalar arithmetic of addresses
    def add(self, a: Register, b: Register) -> Register:
        return self.scalar("add_i", DType.I64, (a, b))

    def subtract(self, a: Register, b: Register) -> Register:
        return self.scalar("sub_i", DType.I64, (a, b))

    def multiply(self, a: Register, b: Register) -> Register:
        return self.scalar("mul_i", DType.I64, (a, b))

    def negate(self, a: Register) -> Register:
        return self.subtract(self.integer(0), a)

    def maximum(self, a: Register, b: Register) -> Register:
        return a if a is b else self.scalar("max_s", DType.I64, (a, b))

    def minimum(self, a: Register, b: Register) -> Register:
        return a if a is b else self.scalar("min_s", DType.I64, (a, b))

    def widen(self, scalar: Register, signed: bool = True) -> Register:
        """A scalar integer as I64."""
        if scalar.dtype is DType.I64:
            return scalar
        signed = signed and scalar.dtype is not DType.I1
        return self.scalar("extend_s" if signed else "extend_u", DType.I64, (scalar,))

    def both(self, a: Register, b: Register) -> Register:
        """Conjunction of two scalar I1."""
        return self.scalar("and_i", DType.I1, (a, b))


def float_bits(value: float, dtype: DType) -> int:
    """Bits of `value` rounded to nearest even in a float type."""
    if dtype is DType.F64:
        return int.from_bytes(struct.pack("<d", value), "little")
    if dtype is DType.F16:
        return _narrow_bits(value, 5, 10)
    if dtype is DType.BF16:
        return _narrow_bits(value, 8, 7)
    if dtype is DType.F8E5M2:
        return _narrow_bits(value, 5, 2)
    if dtype is DType.F8E4M3:
        return _e4m3_bits(value)
    try:
        return int.from_bytes(struct.pack("<f", value), "little")
    except OverflowError:
        return 0x7F800000 if value > 0 else 0xFF800000


def _narrow_bits(value: float, exponent_bits: int, mantissa_bits: int) -> int:
    """IEEE bits of a narrow format, from a float64, rounded once."""
    raw = int.from_bytes(struct.pack("<d", value), "little")
    sign = raw >> 63 << (exponent_bits + mantissa_bits)
    top = ((1 << exponent_bits) - 1) << mantissa_bits
    if value != value:
        return sign | top | 1 << (mantissa_bits - 1)
    if abs(value) == float("inf"):
        return sign | top
    bias = (1 << (exponent_bits - 1)) - 1
    exponent = max((raw >> 52 & 0x7FF) - 1023, 1 - bias)
    units = round(abs(value) * 2.0 ** (mantissa_bits - exponent)) if exponent > -1022 else 0
    if units < 1 << mantissa_bits:
        return sign | units  # subnormal
    bits = units + ((exponent + bias - 1) << mantissa_bits)
    return sign | min(bits, top)


def _e4m3_bits(value: float) -> int:
    """Bits of float8 e4m3fn: no infinity; an overflow is NaN's pattern as torch writes it, 448 when in reach of it."""
    sign = 0x80 if struct.pack("<d", value)[7] & 0x80 else 0
    if value != value:
        return sign | 0x7F
    if abs(value) > 464:
        return sign | 0x7E
    bits = _narrow_bits(abs(value), 5, 3) if abs(value) >= 2.0**-6 else round(abs(value) * 512)
    if abs(value) >= 2.0**-6:
        bits -= 8 << 3  # bias 15 to bias 7
    return sign | min(bits, 0x7E)
