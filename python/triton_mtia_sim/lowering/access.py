"""What an access to memory comes to: one DMA descriptor, or an address for each element."""

from collections.abc import Sequence
from dataclasses import dataclass

from triton_mtia_sim.analysis.forms import Bound, Mask, Piece, Pointer
from triton_mtia_sim.tiles.machine import Register, Shape

_UNBOUNDED: list[Register | None] = [None, None, None, None]


@dataclass(frozen=True)
class Access:
    """Where a load or store goes: a descriptor's dimensions, or offsets of an indexed DMA.

    With a `row_bound` the offsets and the mask have one element for each row, whose elements are neighbours.

    `split` is the tile's shape with a dimension for each piece, `owners` the tile's dimension that each belongs to.
    With a `condition` the descriptor is right where that holds; where not, `pointer` and `form` give the offsets.
    """

    base: Register | None
    offset: Register | None = None
    mask: Register | None = None
    pieces: tuple[Piece, ...] = ()
    bounds: tuple[Bound, ...] = ()
    owners: tuple[int, ...] = ()
    condition: Register | None = None
    pointer: Pointer | None = None
    form: Mask | None = None
    row_bound: Bound | None = None

    @property
    def is_structured(self) -> bool:
        return self.offset is None

    @property
    def split(self) -> Shape:
        return tuple(piece.size for piece in self.pieces)

    def dimensions(self, kept: Sequence[bool]) -> list[Register | None]:
        """Descriptor operands; a dimension that is not kept has size 1."""
        operands: list[Register | None] = []
        for piece, bound, keep in zip(self.pieces, self.bounds, kept, strict=True):
            bounded = [bound.low, bound.high, piece.start, piece.wrap] if keep else _UNBOUNDED
            operands.extend([piece.stride, *bounded])
        return operands

    def kept(self) -> list[bool]:
        """Dimensions along which the elements differ; the others are loaded once and broadcast."""
        masked = self.mask.shape if self.mask is not None and self.mask.shape else (1,) * len(self.pieces)
        return [
            not piece.is_zero or bound != Bound() or size != 1
            for piece, bound, size in zip(self.pieces, self.bounds, masked, strict=True)
        ]
