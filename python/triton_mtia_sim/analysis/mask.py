"""Turns a boolean tensor into bounds per dimension, scalar conditions, and whatever is left as data."""

from typing import TYPE_CHECKING

from mtia_core.dtypes import DType
from triton_mtia_sim.analysis import index_algebra as algebra
from triton_mtia_sim.analysis.forms import Affine, Bound, Mask
from triton_mtia_sim.analysis.sign import is_non_negative
from triton_mtia_sim.ir.operations import Operation, Value
from triton_mtia_sim.ir.types import shape_of
from triton_mtia_sim.lowering.machine import Register

if TYPE_CHECKING:
    from triton_mtia_sim.analysis.address import AddressAnalysis

_SIGNED_OF = {6: 2, 7: 3, 8: 4, 9: 5}  # ult ule ugt uge
_SWAPPED = {0: 0, 2: 4, 3: 5, 4: 2, 5: 3}


class MaskAnalysis:
    """Forms of the boolean values of one kernel."""

    def __init__(self, addresses: "AddressAnalysis") -> None:
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
        return Mask(bounds, (*a.conditions, *b.conditions), (*a.residuals, *b.residuals))

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
            return Mask(tuple(moved), tuple(conditions), residuals)
        if operation.name == "tt.expand_dims":
            axis = operation.attributes["axis"]
            residuals = tuple(
                self.builder.view(tile, (*tile.shape[:axis], 1, *tile.shape[axis:])) for tile in residuals
            )
            return Mask((*bounds[:axis], Bound(), *bounds[axis:]), source.conditions, residuals)
        if residuals:
            return None
        order = operation.attributes["order"]
        return Mask(tuple(bounds[dimension] for dimension in order), source.conditions)

    def _comparison(self, operation: Operation) -> Mask | None:
        left, right = (self.addresses.affine(operand) for operand in operation.operands)
        predicate = operation.attributes["predicate"]
        if left is None or right is None or predicate == 1:
            return None
        shape = shape_of(operation.operands[0].type)
        if predicate in _SIGNED_OF:
            if not (self._never_negative(left) and self._never_negative(right)):
                return None
            predicate = _SIGNED_OF[predicate]
        zero = self.builder.integer(0)
        # Only the terms are subtracted here: the offsets meet in `edge`, in one instruction.
        difference = algebra.add(
            self.builder, Affine(zero, left.terms), algebra.negate(self.builder, Affine(zero, right.terms))
        )
        if difference is None:
            return None
        moving = [dimension for dimension, term in enumerate(difference.terms) if not term.is_zero]
        if len(moving) != 1:
            return None
        term = difference.terms[moving[0]]
        if term.wrap is not None or term.stride.bits not in (1, -1):
            return None
        if term.stride.bits == 1:  # i + left < right
            edge = self.builder.subtract(right.offset, left.offset)
        else:  # left - i < right
            predicate = _SWAPPED[predicate]
            edge = self.builder.subtract(left.offset, right.offset)
        bound = self._bound(predicate, edge, shape[moving[0]])
        return Mask(tuple(bound if dimension == moving[0] else Bound() for dimension in range(len(shape))))

    def _never_negative(self, form: Affine) -> bool:
        return is_non_negative(form.offset) and all(is_non_negative(term.stride) for term in form.terms)

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
