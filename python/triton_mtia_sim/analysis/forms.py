"""Closed forms of index, pointer and mask tensors: what a DMA descriptor can say."""

from dataclasses import dataclass, field, replace

from triton_mtia_sim.lowering.machine import Register


@dataclass(frozen=True)
class Term:
    """Contribution of one dimension: stride * coordinate, where coordinate is i, or (start + i) mod wrap."""

    stride: Register
    start: Register | None = None
    wrap: Register | None = None

    @property
    def is_zero(self) -> bool:
        return self.stride.bits == 0


@dataclass(frozen=True)
class Affine:
    """An integer tensor: offset + the sum of its terms; all registers are I64 scalars."""

    offset: Register
    terms: tuple[Term, ...]

    @property
    def is_uniform(self) -> bool:
        """Whether all elements are equal."""
        return all(term.is_zero for term in self.terms)

    def with_terms(self, terms: tuple[Term, ...]) -> "Affine":
        return replace(self, terms=terms)


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
    """A boolean tensor: all bounds hold, and all conditions (scalars), and all residuals (compact I1 tiles)."""

    bounds: tuple[Bound, ...]
    conditions: tuple[Register, ...] = ()
    residuals: tuple[Register, ...] = field(default=())
