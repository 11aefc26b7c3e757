"""Arithmetic on affine forms. None means: no closed form, materialise it."""

from dataclasses import replace
from math import gcd

from triton_mtia_sim.analysis.forms import Affine, Check, Dimension, Piece
from triton_mtia_sim.analysis.ranges import Ranges
from triton_mtia_sim.tiles.builder import Builder
from triton_mtia_sim.tiles.machine import Register, Shape


class IndexAlgebra:
    """Operations on forms of one kernel; `ranges` knows its scalars."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self.ranges = Ranges()
        self.zero = builder.integer(0)

    # ---- making
    def still(self, size: int) -> Dimension:
        """A dimension along which nothing changes."""
        return (Piece(size, self.zero),)

    def uniform(self, value: Register, shape: Shape) -> Affine:
        """The same value everywhere."""
        return Affine(value, tuple(self.still(size) for size in shape))

    def line(self, start: int, size: int) -> Affine:
        """start, start + 1, ..."""
        if size == 1:
            return self.uniform(self.builder.integer(start), (1,))
        return Affine(self.builder.integer(start), ((Piece(size, self.builder.integer(1)),),))

    # ---- sums and products
    def add(self, a: Affine, b: Affine) -> Affine | None:
        """a + b."""
        dimensions = []
        offset = self.builder.add(a.offset, b.offset)
        for left, right in zip(a.dimensions, b.dimensions, strict=True):
            joined = self._add_dimensions(left, right)
            if joined is None:
                return None
            if len(joined) == 1 and joined[0].carries:
                joined, offset = self._rejoined(joined[0], offset)
            dimensions.append(joined)
        return Affine(offset, tuple(dimensions), _union(a.checks, b.checks))

    def _rejoined(self, piece: Piece, offset: Register) -> tuple[Dimension, Register]:
        """Where the next row begins where the last one ends, quotient and remainder are one walk again."""
        assert piece.start is not None and piece.wrap is not None
        if self.builder.multiply(piece.stride, piece.wrap) is not piece.carry:
            return (piece,), offset
        moved = self.builder.multiply(piece.stride, piece.start)
        return (Piece(piece.size, piece.stride),), self.builder.add(offset, moved)

    def _add_dimensions(self, a: Dimension, b: Dimension) -> Dimension | None:
        if all(piece.is_zero for piece in a):
            return b
        if all(piece.is_zero for piece in b):
            return a
        refined = self._refine(a, b)
        if refined is None:
            return None
        pieces = []
        for left, right in zip(*refined, strict=True):
            if left.is_zero or right.is_zero:
                pieces.append(right if left.is_zero else left)
            elif left.wrap is right.wrap and left.start is right.start:
                carry = self.builder.add(left.carry or self.zero, right.carry or self.zero)
                stride = self.builder.add(left.stride, right.stride)
                pieces.append(replace(left, stride=stride, carry=None if left.wrap is None else carry))
            else:
                return None
        return self.merged(tuple(pieces))

    def _refine(self, a: Dimension, b: Dimension) -> tuple[list[Piece], list[Piece]] | None:
        """Both cut into pieces of equal sizes, innermost last."""
        left, right = list(a), list(b)
        cut_left: list[Piece] = []
        cut_right: list[Piece] = []
        while left and right:
            x, y = left.pop(), right.pop()
            size = min(x.size, y.size)
            for piece, rest, cut in ((x, left, cut_left), (y, right, cut_right)):
                parts = self.cut(piece, size)
                if parts is None:
                    return None
                cut.insert(0, parts[1])
                if parts[0] is not None:
                    rest.append(parts[0])
        return cut_left, cut_right

    def cut(self, piece: Piece, inner: int) -> tuple[Piece | None, Piece] | None:
        """A piece as an outer and an inner one of `inner` steps; None where it cannot be cut there."""
        if inner == piece.size:
            return None, piece
        if piece.size % inner or (piece.wrap is not None and not piece.is_zero):
            return None
        outer = self.builder.multiply(piece.stride, self.builder.integer(inner))
        return Piece(piece.size // inner, outer), Piece(inner, piece.stride)

    def merged(self, pieces: Dimension) -> Dimension:
        """Neighbouring pieces that are one walk become one."""
        result: list[Piece] = []
        for piece in pieces:
            if piece.size == 1 and len(pieces) > 1:
                continue
            if result and result[-1].wrap is None and piece.wrap is None:
                outer = result[-1]
                if outer.stride is self.builder.multiply(piece.stride, self.builder.integer(piece.size)):
                    result[-1] = Piece(outer.size * piece.size, piece.stride)
                    continue
            result.append(piece)
        return tuple(result) or pieces[:1]

    def scale(self, a: Affine, factor: Register) -> Affine:
        """a * factor, factor uniform."""
        dimensions = tuple(
            self.merged(tuple(self._scaled(piece, factor) for piece in dimension)) for dimension in a.dimensions
        )
        return Affine(self.builder.multiply(a.offset, factor), dimensions, a.checks)

    def _scaled(self, piece: Piece, factor: Register) -> Piece:
        if piece.is_zero:
            return piece
        stride = self.builder.multiply(piece.stride, factor)
        carry = None if piece.carry is None else self.builder.multiply(piece.carry, factor)
        scaled = replace(piece, stride=stride, carry=carry)
        return Piece(piece.size, self.zero) if scaled.is_zero else scaled

    def negate(self, a: Affine) -> Affine:
        """-a."""
        return self.scale(a, self.builder.integer(-1))

    # ---- ranges
    def span(self, a: Affine) -> tuple[int, int]:
        """Smallest and largest value that any element can have."""
        low, high = self.ranges.interval(a.offset)
        for dimension in a.dimensions:
            for piece in dimension:
                if piece.is_zero:
                    continue
                most = piece.size - 1
                if piece.wrap is not None:
                    most = max(0, self.ranges.interval(piece.wrap)[1] - 1)
                ends = [end * most for end in self.ranges.interval(piece.stride)]
                low, high = low + min(0, *ends), high + max(0, *ends)
                if piece.carries and piece.start is not None and piece.carry is not None:
                    most = max(0, self.ranges.interval(piece.start)[1] + piece.size - 1)
                    ends = [end * most for end in self.ranges.interval(piece.carry)]
                    low, high = low + min(0, *ends), high + max(0, *ends)
        return low, high

    def checked(self, a: Affine, low: int, high: int, bits: int = 64, may_wrap: bool = False) -> Affine | None:
        """The form with what is needed for low <= form <= high to hold; None where it never does."""
        least, most = self.span(a)
        if bits <= 32 and self._stays_aligned(a):
            least, most = max(least, -(1 << 31)), min(most, (1 << 31) - 1)
        if low <= least and most <= high:
            return a
        if most < low or least > high:
            return None
        check = Check(replace(a, checks=()), low if least < low else None, high if most > high else None, may_wrap)
        return replace(a, checks=_union(a.checks, (check,)))

    def _stays_aligned(self, a: Affine) -> bool:
        """Whether no element carries into the bits that the offset's divisor leaves to it."""
        reach = 0
        for dimension in a.dimensions:
            for piece in dimension:
                low, high = self.ranges.interval(piece.stride)
                if low < 0 or (piece.wrap is not None and not piece.is_zero):
                    return False
                reach += high * (piece.size - 1)
        factor = self.ranges.multiple_of(a.offset)
        return reach < (factor & -factor) <= 1 << 31 and self._in_range(a.offset)

    def _in_range(self, register: Register) -> bool:
        low, high = self.ranges.interval(register)
        return low >= -(1 << 31) and high < 1 << 31

    # ---- division
    def divide(self, a: Affine, divisor: Register, shape: Shape) -> tuple[Affine | None, Affine | None]:
        """a div divisor and a mod divisor of a form that is >= 0 for a divisor > 0."""
        least, most = self.span(a)
        if self.ranges.interval(divisor)[0] > most and least >= 0:
            return self.uniform(self.zero, shape), a
        if divisor.is_constant and divisor.integer > 0:
            parted = self._part(a, divisor.integer)
            if parted is not None:
                return parted
        if a.is_uniform:
            quotient = self.builder.scalar("div_s", a.offset.dtype, (a.offset, divisor))
            rest = self.builder.scalar("rem_s", a.offset.dtype, (a.offset, divisor))
            return replace(a, offset=quotient), replace(a, offset=rest)
        wrapped = self._wrapped(a, divisor)
        if wrapped is None:
            return None, None
        one = self.builder.integer(1)
        rows = tuple(
            tuple(replace(piece, stride=self.zero, carry=one) if piece.wrap is not None else piece for piece in item)
            for item in wrapped.dimensions
        )
        return replace(wrapped, dimensions=rows), wrapped

    def _part(self, a: Affine, divisor: int) -> tuple[Affine, Affine] | None:
        """Pieces that step by multiples of the divisor on one side, those that stay below it on the other."""
        reach = 0
        high: list[Dimension] = []
        low: list[Dimension] = []
        for dimension in a.dimensions:
            quotients: list[Piece] = []
            rests: list[Piece] = []
            for piece in self._cut_at(dimension, divisor):
                stride = piece.stride.bits
                if stride is None or piece.wrap is not None or stride < 0:
                    return None
                if stride % divisor == 0:
                    quotients.append(Piece(piece.size, self.builder.integer(stride // divisor)))
                    rests.append(Piece(piece.size, self.zero))
                else:
                    quotients.append(Piece(piece.size, self.zero))
                    rests.append(piece)
                    reach += stride * (piece.size - 1)
            high.append(self.merged(tuple(quotients)))
            low.append(self.merged(tuple(rests)))
        number = self.builder.integer(divisor)
        rest = self.builder.scalar("rem_s", a.offset.dtype, (a.offset, number))
        room = divisor - gcd(self.ranges.multiple_of(a.offset), divisor)
        if rest.is_constant:
            room = rest.integer
        if room + reach >= divisor:
            return None
        quotient = self.builder.scalar("div_s", a.offset.dtype, (a.offset, number))
        return Affine(quotient, tuple(high), a.checks), Affine(rest, tuple(low), a.checks)

    def _cut_at(self, dimension: Dimension, divisor: int) -> list[Piece]:
        """Pieces cut where their steps reach the divisor."""
        result = []
        for piece in dimension:
            stride = piece.stride.bits
            inner = divisor // stride if stride and stride > 0 and divisor % stride == 0 else 0
            parts = self.cut(piece, inner) if 0 < inner < piece.size and piece.size % inner == 0 else None
            result.extend([piece] if parts is None else [part for part in parts if part is not None])
        return result

    def _wrapped(self, a: Affine, divisor: Register) -> Affine | None:
        """a mod divisor as a wrap, where a is start + i along one dimension."""
        moving = [
            (number, dimension)
            for number, dimension in enumerate(a.dimensions)
            if any(not piece.is_zero for piece in dimension)
        ]
        if len(moving) != 1 or len(moving[0][1]) != 1:
            return None
        number, (piece,) = moving[0]
        if piece.wrap is not None or piece.stride.bits != 1:
            return None
        wrapped = (Piece(piece.size, piece.stride, a.offset, divisor),)
        dimensions = tuple(wrapped if d == number else item for d, item in enumerate(a.dimensions))
        return Affine(self.zero, dimensions, a.checks)

    # ---- shapes
    def reshape(self, a: Affine, new: Shape) -> Affine | None:
        """The same elements in row-major order under another shape."""

        def change(dimensions: tuple[Dimension, ...]) -> tuple[Dimension, ...] | None:
            left = [piece for dimension in dimensions for piece in dimension if piece.size > 1]
            result: list[Dimension] = []
            for size in reversed(new):
                pieces: list[Piece] = []
                while size > 1:
                    piece = left.pop()
                    inner = min(size, piece.size)
                    if size % inner:
                        return None
                    parts = self.cut(piece, inner)
                    if parts is None:
                        return None
                    pieces.insert(0, parts[1])
                    if parts[0] is not None:
                        left.append(parts[0])
                    size //= inner
                result.insert(0, self.merged(tuple(pieces)) if pieces else self.still(1))
            return tuple(result)

        return a.mapped(change)


def _union(a: tuple[Check, ...], b: tuple[Check, ...]) -> tuple[Check, ...]:
    return a + tuple(check for check in b if check not in a)
