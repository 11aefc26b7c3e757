"""float8 formats that no unit of the chip computes with: kept as bytes, read and written by conversions in software.

The two FNUZ formats are LLVM's Float8E4M3FNUZ and Float8E5M2FNUZ: no infinity, no minus zero, NaN where minus zero
would be. fp8e4b15 is Triton's own (triton/language/extra/cuda/utils.py): no infinity, no NaN, largest number 1.75.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class NumberFormat:
    """A byte of sign, exponent and mantissa; `largest` is the code of the largest number, `nan` that of NaN."""

    exponent_bits: int
    mantissa_bits: int
    bias: int
    largest: int
    nan: int | None

    def magnitude(self, code: int) -> float:
        """The number of a code without its sign."""
        exponent, mantissa = code >> self.mantissa_bits, code & ((1 << self.mantissa_bits) - 1)
        if exponent:
            mantissa += 1 << self.mantissa_bits
        return mantissa * 2.0 ** (max(exponent, 1) - self.bias - self.mantissa_bits)

    def encode(self, value: float) -> int:
        """Code of the nearest number, ties to even, saturating."""
        if value != value:
            return self.largest if self.nan is None else self.nan
        size = abs(value)
        codes = range(self.largest + 1)
        code = min(codes, key=lambda item: (abs(self.magnitude(item) - size), item & 1)) if size < 1e9 else self.largest
        return code | 0x80 if value < 0 and (code or self.nan is None) else code


FORMATS = {
    "f8E4M3FNUZ": NumberFormat(4, 3, 8, 0x7F, 0x80),
    "f8E5M2FNUZ": NumberFormat(5, 2, 16, 0x7F, 0x80),
    "fp8e4b15": NumberFormat(4, 3, 15, 0x7E, None),
}
