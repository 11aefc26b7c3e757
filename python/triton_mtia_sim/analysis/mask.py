"""Turns a boolean tensor into bounds per dimension, scalar conditions, and whatever is left as data."""

from mtia_core.dtypes import DType
from triton_mtia_sim.analysis.forms import Affine, Bound, Check, Mask
from triton_mtia_sim.analysis.interfaces import Addresses
from triton_mtia_sim.ir.operations import Operation, Value
from triton_mtia_sim.ir.types import shape_of
from triton_mtia_sim.tiles.machine import Register

_SIGNED_OF = {6: 2, 7: 3, 8: 4, 9: 5}  # ult ule ugt uge
_FAR = 1 << 60  # beyond any index of a tile
_SWAPPED = {0: 0, 2: 4, 3: 5, 4: 2, 5: 3}


class MaskAnalysis:
    """Forms of the boolean values of one kernel."""

    def __init__(self, addresses: Addresses) -> None:
        self.addresses = addresses
        self.builder = addresses.builder
        self.known: dict[Value, Mask] = {}

    def mask(self, value: Value) -> Mask:
        """Form of a boolean scalar or tensor; at worst its data as a residual."""
        if value not in self.known:
            self.known[value] = self._mask(value) or self.as_data(value)
        return self.known[value]

    def as_data(self, value: Value) -> Mask:
        """A mask that is only data."""
        register = self.addresses.kernel.data(value)
        bounds = (Bound(),) * len(shape_of(value.type))
        if register.is_constant and register.integer:
            return Mask(bounds)
        return Mask(bounds, (register,)) if register.is_scalar else Mask(bounds, (), (register,))

    def _mask(self, value: Value) -> Mask | None:
        operation = value.operation
        if operation is None or not shape_of(value.type) or self.addresses.is_uniform(value):
            return None
        if operation.name in ("arith.andi", "arith.muli"):
            left, right = (self.mask(operand) for operand in operation.operands)
            return self.both(left, right)
        if operation.name == "arith.cmpi":
            return self._comparison(operation)
        if operation.name in ("tt.broadcast", "tt.expand_dims", "tt.trans"):
            return self._moved(operation, self.mask(operation.operands[0]))
        return None

    def both(self, a: Mask, b: Mask) -> Mask:
        """Conjunction."""
        bounds = tuple(self._intersect(x, y) for x, y in zip(a.bounds, b.bounds, strict=True))
        guards = (*a.guards, *(guard for guard in b.guards if guard not in a.guards))
        return Mask(bounds, (*a.conditions, *b.conditions), (*a.residuals, *b.residuals), guards)

    def _intersect(self, a: Bound, b: Bound) -> Bound:
        low = self.builder.maximum(a.low, b.low) if a.low and b.low else a.low or b.low
        high = self.builder.minimum(a.high, b.high) if a.high and b.high else a.high or b.high
        return Bound(low, high)

    def _moved(self, operation: Operation, source: Mask) -> Mask | None:
        bounds, residuals = source.bounds, source.residuals
        if operation.name == "tt.broadcast":
            old, new = shape_of(operation.operands[0].type), shape_of(operation.results[0].type)
            conditions = list(source.conditions)
            moved = []
            for bound, a, b in zip(bounds, old, new, strict=True):
                if a == b or bound == Bound():
                    moved.append(bound)
                    continue
                moved.append(Bound())  # a bound on a dimension of size 1 is a condition on all of it
                if bound.low is not None:
                    conditions.append(
                        self.builder.scalar("compare_i", DType.I1, (bound.low, self.builder.integer(0)), (3,))
                    )
                if bound.high is not None:
                    conditions.append(
                        self.builder.scalar("compare_i", DType.I1, (bound.high, self.builder.integer(0)), (4,))
                    )
            return Mask(tuple(moved), tuple(conditions), residuals, source.guards)
        if operation.name == "tt.expand_dims":
            axis = operation.attributes["axis"]
            residuals = tuple(
                self.builder.view(tile, (*tile.shape[:axis], 1, *tile.shape[axis:])) for tile in residuals
            )
            return Mask((*bounds[:axis], Bound(), *bounds[axis:]), source.conditions, residuals, source.guards)
        if residuals:
            return None
        order = operation.attributes["order"]
        return Mask(tuple(bounds[dimension] for dimension in order), source.conditions, (), source.guards)

    def _comparison(self, operation: Operation) -> Mask | None:
        left, right = (self.addresses.exact(operand) for operand in operation.operands)
        predicate = operation.attributes["predicate"]
        if left is None or right is None or predicate == 1:
            return None
        shape = shape_of(operation.operands[0].type)
        algebra = self.addresses.algebra
        if predicate in _SIGNED_OF:
            if algebra.span(left)[0] < 0 or algebra.span(right)[0] < 0:
                return None
            predicate = _SIGNED_OF[predicate]
        # Only the pieces are subtracted here: the offsets meet in `edge`, in one instruction.
        zero = algebra.zero
        difference = algebra.add(Affine(zero, left.dimensions), algebra.negate(Affine(zero, right.dimensions)))
        if difference is None:
            return None
        moving = [
            number for number, pieces in enumerate(difference.dimensions) if any(not piece.is_zero for piece in pieces)
        ]
        if len(moving) != 1 or len(difference.dimensions[moving[0]]) != 1:
            return None
        (piece,) = difference.dimensions[moving[0]]
        if piece.wrap is not None or piece.stride.bits not in (1, -1):
            return None
        if piece.stride.bits == 1:  # i + left < right
            edge = self._difference(right.offset, left.offset)
        else:  # left - i < right
            predicate = _SWAPPED[predicate]
            edge = self._difference(left.offset, right.offset)
        guards = []
        for check in (*left.checks, *right.checks):
            guard = self.holds(check)
            if guard is None:
                return None
            guards.append(guard)
        bound = self._bound(predicate, edge, shape[moving[0]])
        bounds = tuple(bound if dimension == moving[0] else Bound() for dimension in range(len(shape)))
        return Mask(bounds, (), (), tuple(guards))

    def _difference(self, a: Register, b: Register) -> Register:
        """a - b, kept well inside 64 bits: no index of a tile reaches the clamp."""
        ranges = self.addresses.ranges
        (low, high), (least, most) = ranges.interval(a), ranges.interval(b)
        if low - most > -_FAR and high - least < _FAR:
            return self.builder.subtract(a, b)
        builder = self.builder
        near = builder.subtract(a, b)
        # It has overflowed where a and b differ in sign and the difference has not a's.
        flipped = builder.scalar(
            "and_i",
            DType.I64,
            (builder.scalar("xor_i", DType.I64, (a, b)), builder.scalar("xor_i", DType.I64, (a, near))),
        )
        overflows = builder.scalar("compare_i", DType.I1, (flipped, builder.integer(0)), (2,))
        negative = builder.scalar("compare_i", DType.I1, (a, builder.integer(0)), (2,))
        far = builder.scalar("select", DType.I64, (negative, builder.integer(-_FAR), builder.integer(_FAR)))
        saturated = builder.scalar("select", DType.I64, (overflows, far, near))
        return builder.maximum(builder.minimum(saturated, builder.integer(_FAR)), builder.integer(-_FAR))

    def holds(self, check: Check) -> Register | None:
        """Whether a check holds for every element, as a scalar; None where its form has a wrap."""
        builder, ranges = self.builder, self.addresses.ranges
        low = high = check.form.offset
        for dimension in check.form.dimensions:
            for piece in dimension:
                if piece.is_zero:
                    continue
                if piece.wrap is not None:
                    return None
                last = builder.multiply(piece.stride, builder.integer(piece.size - 1))
                least, most = ranges.interval(last)
                zero = builder.integer(0)
                low = builder.add(low, last if most <= 0 else zero if least >= 0 else builder.minimum(last, zero))
                high = builder.add(high, last if least >= 0 else zero if most <= 0 else builder.maximum(last, zero))
        result = builder.integer(1, DType.I1)
        if check.low is not None and ranges.interval(low)[0] < check.low:
            result = builder.scalar("compare_i", DType.I1, (low, builder.integer(check.low)), (5,))
        if check.high is not None and ranges.interval(high)[1] > check.high:
            below = builder.scalar("compare_i", DType.I1, (high, builder.integer(check.high)), (3,))
            result = builder.both(result, below)
        return result

    def _bound(self, predicate: int, edge: Register, size: int) -> Bound:
        """Bounds of i where `i predicate edge`."""
        one = self.builder.integer(1)
        low = high = None
        if predicate in (0, 5):
            low = edge
        if predicate == 4:
            low = self.builder.add(edge, one)
        if predicate == 2:
            high = edge
        if predicate in (0, 3):
            high = self.builder.add(edge, one)
        if low is not None and low.is_constant and low.integer <= 0:
            low = None
        if high is not None and high.is_constant and high.integer >= size:
            high = None
        return Bound(low, high)
