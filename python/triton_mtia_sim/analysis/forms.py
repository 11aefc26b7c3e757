"""Closed forms of index, pointer and mask tensors: what a DMA descriptor can say."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from triton_mtia_sim.tiles.machine import Register


@dataclass(frozen=True)
class Piece:
    """`size` consecutive steps i of a dimension: adds stride * i.

    With a wrap it adds stride * ((start + i) mod wrap) + carry * ((start + i) div wrap); start + i is not negative.
    """

    size: int
    stride: Register
    start: Register | None = None
    wrap: Register | None = None
    carry: Register | None = None

    @property
    def is_zero(self) -> bool:
        return self.stride.bits == 0 and not self.carries

    @property
    def carries(self) -> bool:
        """Whether passing the wrap moves on, which no descriptor can say."""
        return self.carry is not None and self.carry.bits != 0


Dimension = tuple[Piece, ...]  # outermost first; the sizes multiply to the dimension's


@dataclass(frozen=True)
class Check:
    """What has to hold for a form to be right: low <= form <= high where the access is active; None is known to hold.

    An index that `may_wrap` is one that a tensor's own bounds keep from wrapping; other checks have to be made.
    """

    form: "Affine"
    low: int | None
    high: int | None
    may_wrap: bool = False


@dataclass(frozen=True)
class Affine:
    """An integer tensor: offset + the sum of its pieces; all registers are I64 scalars."""

    offset: Register
    dimensions: tuple[Dimension, ...]
    checks: tuple[Check, ...] = ()

    @property
    def is_uniform(self) -> bool:
        """Whether all elements are equal."""
        return all(piece.is_zero for dimension in self.dimensions for piece in dimension)

    def mapped(self, change: Callable[[tuple[Dimension, ...]], "tuple[Dimension, ...] | None"]) -> "Affine | None":
        """The same numbers in another order or shape, the checks with them; None where `change` cannot."""
        dimensions = change(self.dimensions)
        if dimensions is None:
            return None
        checks = []
        for check in self.checks:
            form = check.form.mapped(change)
            if form is None:
                return None
            checks.append(replace(check, form=form))
        return Affine(self.offset, dimensions, tuple(checks))


@dataclass(frozen=True)
class Pointer:
    """A pointer tensor: address = base + element_bytes * (index + sum of residuals).

    residuals are compact tiles of offsets that no closed form describes. base is a byte address.
    """

    base: Register
    element_bytes: int
    index: Affine
    residuals: tuple[Register, ...] = ()

    @property
    def is_structured(self) -> bool:
        return not self.residuals


@dataclass(frozen=True)
class Bound:
    """Valid where low <= i < high; None does not bound."""

    low: Register | None = None
    high: Register | None = None


@dataclass(frozen=True)
class Mask:
    """A boolean tensor: all bounds hold, and all conditions (scalars), and all residuals (compact I1 tiles).

    guards are scalars that have to hold for this form to be right, whatever the mask says.
    """

    bounds: tuple[Bound, ...]
    conditions: tuple[Register, ...] = ()
    residuals: tuple[Register, ...] = field(default=())
    guards: tuple[Register, ...] = field(default=())
