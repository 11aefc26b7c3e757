"""Tile instructions before their tiles have a place: registers in single assignment, code in buckets."""

from typing import Final

from mtia_core.dtypes import DType
from triton_mtia_sim.ir.operations import SourceLocation

Shape = tuple[int, ...]


class Bucket:
    """Instructions at one point of the kernel; `order` follows the dominance order of the points."""

    __slots__ = ("code", "order")

    def __init__(self, order: int) -> None:
        self.order = order
        self.code: list[Code] = []


class Register:
    """A scalar (shape ()), a constant, or a tile; a view shares the storage of `root`."""

    __slots__ = ("bits", "definition", "dtype", "home", "root", "shape")

    def __init__(self, dtype: DType, shape: Shape, home: Bucket, bits: int | None = None) -> None:
        self.dtype: Final = dtype
        self.shape: Final = shape
        self.home = home
        self.bits = bits
        self.root: Register = self
        self.definition: Code | None = None

    @property
    def is_constant(self) -> bool:
        return self.bits is not None

    @property
    def is_scalar(self) -> bool:
        """A scalar or a constant."""
        return not self.shape

    @property
    def elements(self) -> int:
        count = 1
        for size in self.shape:
            count *= size
        return count

    @property
    def bytes(self) -> int:
        return self.elements * self.dtype.bytes

    @property
    def integer(self) -> int:
        """The value of an integer constant."""
        assert self.bits is not None
        return self.bits

    def __repr__(self) -> str:
        kind = "constant" if self.is_constant else "tile" if self.shape else "scalar"
        return f"<{kind} {'x'.join(map(str, self.shape))} {self.dtype.text} {self.bits if self.is_constant else ''}>"


# The cache attribute of a load that reads memory each time it runs (Triton's number of ".cv"): the ISA knows it too.
VOLATILE = 7


class Code:
    """One instruction; `operands` may hold None where an operand is absent."""

    __slots__ = ("attributes", "location", "mnemonic", "operands", "results")

    def __init__(
        self,
        mnemonic: str,
        results: list[Register | None],
        operands: list[Register | None],
        attributes: tuple[int, ...],
        location: SourceLocation,
    ) -> None:
        self.mnemonic = mnemonic
        self.results = results
        self.operands = operands
        self.attributes = attributes
        self.location = location

    @property
    def is_volatile(self) -> bool:
        """Whether it is a load that counts as an effect: another program may write what it reads meanwhile."""
        return self.mnemonic in ("dma_load", "gather", "gather_rows") and self.attributes == (VOLATILE,)

    def __repr__(self) -> str:
        return f"{self.results} = {self.mnemonic} {self.operands} {self.attributes}"


def wrap_integer(value: int, dtype: DType) -> int:
    """`value` as a signed number of dtype's width; I1 is 0 or 1."""
    if dtype is DType.I1:
        return value & 1
    half = 1 << (dtype.bits - 1)
    return ((value + half) & (2 * half - 1)) - half
