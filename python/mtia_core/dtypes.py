"""Element types of the chip: the numbering that csrc/base/dtype.h gives them."""

from enum import IntEnum


class DType(IntEnum):
    """An element type; integers are signless and I1 is one byte that holds 0 or 1."""

    I1 = 0
    I8 = 1
    I16 = 2
    I32 = 3
    I64 = 4
    F16 = 5
    BF16 = 6
    F32 = 7
    F64 = 8
    F8E4M3 = 9
    F8E5M2 = 10

    @property
    def bytes(self) -> int:
        """Size of one element in memory."""
        return _BYTES[self]

    @property
    def bits(self) -> int:
        """Width of the value: 1 for I1."""
        return 1 if self is DType.I1 else 8 * _BYTES[self]

    @property
    def is_float(self) -> bool:
        return self >= DType.F16

    @property
    def is_integer(self) -> bool:
        """I1 counts as an integer."""
        return self < DType.F16

    @property
    def text(self) -> str:
        """The name used in disassemblies: i32, bf16, f8e4m3."""
        return self.name.lower()


_BYTES = {
    DType.I1: 1,
    DType.I8: 1,
    DType.I16: 2,
    DType.I32: 4,
    DType.I64: 8,
    DType.F16: 2,
    DType.BF16: 2,
    DType.F32: 4,
    DType.F64: 8,
    DType.F8E4M3: 1,
    DType.F8E5M2: 1,
}
