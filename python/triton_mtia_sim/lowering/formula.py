"""Element-wise formulas over registers, written with operators."""

from dataclasses import dataclass

from mtia_core.dtypes import DType
from triton_mtia_sim.lowering.site import Site
from triton_mtia_sim.tiles.machine import Register

_EQUAL, _SIGNED, _UNSIGNED = {"==": 0, "!=": 1}, {"<": 2, "<=": 3, ">": 4, ">=": 5}, {"<": 6, "<=": 7, ">": 8, ">=": 9}
# Ordered predicates: false where an operand is NaN, except != which is then true.
_FLOAT = {"==": 1, ">": 2, ">=": 3, "<": 4, "<=": 5, "!=": 13}


@dataclass(frozen=True, eq=False)
class Formula:
    """A number or tile of numbers at a site; arithmetic with a Python number takes it in the formula's dtype."""

    site: Site
    register: Register

    @property
    def dtype(self) -> DType:
        return self.register.dtype

    def number(self, value: float) -> "Formula":
        """A constant of this formula's dtype."""
        return Formula(self.site, self.site.builder.number(value, self.dtype))

    def _operand(self, other: "Formula | float") -> Register:
        return other.register if isinstance(other, Formula) else self.number(other).register

    def apply(self, mnemonic: str, *others: "Formula | float") -> "Formula":
        """An element-wise instruction on this and further operands of its dtype."""
        operands = [self.register, *map(self._operand, others)]
        return Formula(self.site, self.site.elementwise(mnemonic, operands, self.dtype))

    def test(self, mnemonic: str) -> "Formula":
        """is_nan, is_inf or is_finite as an I1 formula."""
        return Formula(self.site, self.site.elementwise(mnemonic, [self.register], DType.I1))

    def _arithmetic(self, name: str, other: "Formula | float") -> "Formula":
        return self.apply(f"{name}_{'f' if self.dtype.is_float else 'i'}", other)

    def __add__(self, other: "Formula | float") -> "Formula":
        return self._arithmetic("add", other)

    def __radd__(self, other: float) -> "Formula":
        return self.number(other) + self

    def __sub__(self, other: "Formula | float") -> "Formula":
        return self._arithmetic("sub", other)

    def __rsub__(self, other: float) -> "Formula":
        return self.number(other) - self

    def __mul__(self, other: "Formula | float") -> "Formula":
        return self._arithmetic("mul", other)

    def __rmul__(self, other: float) -> "Formula":
        return self.number(other) * self

    def __truediv__(self, other: "Formula | float") -> "Formula":
        return self.apply("div_f", other)

    def __rtruediv__(self, other: float) -> "Formula":
        return self.number(other) / self

    def __neg__(self) -> "Formula":
        return self.apply("neg_f") if self.dtype.is_float else 0 - self

    def __abs__(self) -> "Formula":
        return self.apply("abs_f" if self.dtype.is_float else "abs_i")

    def __and__(self, other: "Formula | float") -> "Formula":
        return self.apply("and_i", other)

    def __or__(self, other: "Formula | float") -> "Formula":
        return self.apply("or_i", other)

    def __xor__(self, other: "Formula | float") -> "Formula":
        return self.apply("xor_i", other)

    def __lshift__(self, other: "Formula | float") -> "Formula":
        return self.apply("shl", other)

    def __rshift__(self, other: "Formula | float") -> "Formula":
        """Zeros come in from above."""
        return self.apply("shr_u", other)

    def fused(self, factor: "Formula | float", addend: "Formula | float") -> "Formula":
        """self * factor + addend, rounded once."""
        return self.apply("fma_f", factor, addend)

    def compare(self, relation: str, other: "Formula | float", signed: bool = True) -> "Formula":
        """An I1 formula."""
        if self.dtype.is_float:
            mnemonic, predicate = "compare_f", _FLOAT[relation]
        else:
            mnemonic, predicate = "compare_i", {**_EQUAL, **(_SIGNED if signed else _UNSIGNED)}[relation]
        operands = [self.register, self._operand(other)]
        return Formula(self.site, self.site.elementwise(mnemonic, operands, DType.I1, (predicate,)))

    def where(self, chosen: "Formula", other: "Formula | float") -> "Formula":
        """`chosen` where this I1 formula holds, else `other`."""
        operands = [self.register, chosen.register, chosen._operand(other)]
        return Formula(self.site, self.site.elementwise("select", operands, chosen.dtype))

    def to(self, dtype: DType, signed: bool = True) -> "Formula":
        """Numeric conversion."""
        return Formula(self.site, self.site.convert(self.register, dtype, signed))

    def bits(self, dtype: DType) -> "Formula":
        """The same bits under another dtype of the same width."""
        if self.register.is_scalar:
            return Formula(self.site, self.site.builder.scalar("bitcast", dtype, [self.register]))
        return Formula(self.site, self.site.builder.view(self.register, self.register.shape, dtype))
