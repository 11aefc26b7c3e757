"""Arithmetic on affine forms. None means: no closed form, materialise it."""

from triton_mtia_sim.analysis.forms import Affine, Term
from triton_mtia_sim.lowering.builder import Builder
from triton_mtia_sim.lowering.machine import Register, Shape


def uniform(builder: Builder, value: Register, rank: int) -> Affine:
    """The same value everywhere."""
    return Affine(value, (Term(builder.integer(0)),) * rank)


def add(builder: Builder, a: Affine, b: Affine) -> Affine | None:
    """a + b."""
    terms = []
    for left, right in zip(a.terms, b.terms, strict=True):
        if left.is_zero or right.is_zero:
            terms.append(right if left.is_zero else left)
        elif left.wrap is None and right.wrap is None:
            terms.append(Term(builder.add(left.stride, right.stride)))
        elif left.wrap is right.wrap and left.start is right.start:
            terms.append(Term(builder.add(left.stride, right.stride), left.start, left.wrap))
        else:
            return None
    return Affine(builder.add(a.offset, b.offset), tuple(terms))


def scale(builder: Builder, a: Affine, factor: Register) -> Affine:
    """a * factor, factor uniform."""
    terms = tuple(
        term if term.is_zero else Term(builder.multiply(term.stride, factor), term.start, term.wrap) for term in a.terms
    )
    return Affine(builder.multiply(a.offset, factor), terms)


def negate(builder: Builder, a: Affine) -> Affine:
    """-a."""
    return scale(builder, a, builder.integer(-1))


def remainder(builder: Builder, a: Affine, divisor: Register) -> Affine | None:
    """a mod divisor for a non-negative a: a wrap where a is start + i in one dimension; a itself where a < divisor."""
    moving = [dimension for dimension, term in enumerate(a.terms) if not term.is_zero]
    if len(moving) != 1:
        return None
    term = a.terms[moving[0]]
    if term.wrap is not None or term.stride.bits != 1:
        return None
    zero = builder.integer(0)
    wrapped = Term(builder.integer(1), a.offset, divisor)
    return Affine(zero, tuple(wrapped if d == moving[0] else item for d, item in enumerate(a.terms)))


def reshape(builder: Builder, a: Affine, old: Shape, new: Shape) -> Affine | None:
    """The same elements in row-major order under another shape: dimensions split, merge or have size 1."""
    zero = Term(builder.integer(0))
    if a.is_uniform or all(size == 1 for size in new):
        return Affine(a.offset, (zero,) * len(new))
    sources = [(size, term) for size, term in zip(old, a.terms, strict=True) if size > 1]
    position = 0
    remaining, term = sources[0]
    result: list[Term] = []
    for size in new:
        if size == 1:
            result.append(zero)
            continue
        if remaining == 1:
            position += 1
            remaining, term = sources[position]
        if size > remaining:
            merged = _merge(builder, sources, position, remaining, size)
            if merged is None:
                return None
            position, term = merged
            remaining = 1
            result.append(term)
        elif remaining % size or (size < remaining and term.wrap is not None):
            return None
        else:
            remaining //= size
            stride = term.stride if remaining == 1 else builder.multiply(term.stride, builder.integer(remaining))
            result.append(Term(stride, term.start, term.wrap))
    return Affine(a.offset, tuple(result))


def _merge(
    builder: Builder, sources: list[tuple[int, Term]], position: int, remaining: int, size: int
) -> tuple[int, Term] | None:
    """Merges source dimensions into one of `size` where the outer stride is the inner size times the inner stride."""
    total = remaining
    outer = sources[position][1]
    while total < size:
        position += 1
        if position >= len(sources):
            return None
        inner_size, inner = sources[position]
        if outer.wrap is not None or inner.wrap is not None:
            return None
        if builder.multiply(inner.stride, builder.integer(inner_size)) is not outer.stride:
            return None
        total *= inner_size
        outer = inner
    return (position, outer) if total == size else None
