"""What the analyses ask of the lowering that uses them, and of each other: both stand above this file."""

from collections.abc import Callable
from typing import Protocol

from mtia_core.dtypes import DType
from triton_mtia_sim.analysis.forms import Affine, Pointer
from triton_mtia_sim.analysis.index_algebra import IndexAlgebra
from triton_mtia_sim.analysis.ranges import Ranges
from triton_mtia_sim.ir.operations import Block, Operation, Value
from triton_mtia_sim.ir.types import Type
from triton_mtia_sim.tiles.builder import Builder
from triton_mtia_sim.tiles.carried import Carried, Ways
from triton_mtia_sim.tiles.machine import Bucket, Code, Register


class EffectInSpeculation(Exception):
    """An attempt needs the result of an atomic: its instructions, once written, could not be taken back."""


class CarriedScalars(Protocol):
    """The carried registers of a kernel, which the analysis adds scalars to."""

    carried: dict[Operation | Block, dict[object, Carried]]

    def ways(self, value: Value) -> Ways:
        """How control brings in a value."""

    def carry_scalar(self, way: Ways, key: object) -> Carried:
        """A carried I64 scalar; the caller fills its sources."""

    def forget(self, way: Ways, key: object) -> None:
        """Takes a carried scalar back."""


class Kernel(Protocol):
    """A kernel that is being lowered: its values as data, and the state that an attempt may have to undo."""

    builder: Builder
    registers: dict[Value, Register]
    after: dict[Operation, Bucket]
    asserted: list[tuple[Bucket, Code]]
    speculations: int

    @property
    def carried_scalars(self) -> CarriedScalars:
        """What its control flow carries."""

    def data(self, value: Value) -> Register:
        """A value as data: a scalar, or a compact tile."""

    def dtype_of(self, type_: Type, operation: Operation | None = None) -> DType:
        """Element type as data; raises UnsupportedOperation where there is none."""

    def is_elementwise(self, name: str) -> bool:
        """Whether an operation of this name computes each element of its result from the same one of its operands."""


class Addresses(Protocol):
    """Closed forms of a kernel's values, as the rules for single operations ask for them (address.py has them)."""

    kernel: Kernel
    builder: Builder
    algebra: IndexAlgebra
    ranges: Ranges

    def affine(self, value: Value) -> Affine | None:
        """Closed form of an integer scalar or tensor, modulo 2^bits of its type."""

    def exact(self, value: Value) -> Affine | None:
        """Closed form of the number that an integer scalar or tensor holds, with the checks that this needs."""

    def not_negative(self, value: Value) -> Affine | None:
        """As exact, of a number that has to be >= 0."""

    def is_uniform(self, value: Value) -> bool:
        """Whether all elements are equal by construction, so that its data is a scalar."""

    def uniform_scalar(self, value: Value) -> Register | None:
        """The one value of a uniform integer tensor, as I64."""

    def pointer(self, value: Value) -> Pointer | None:
        """Closed form of a pointer or a tensor of pointers."""

    def address(self, pointer: Pointer) -> Register:
        """Byte address of the element at coordinates zero, residuals aside."""


IndexRule = Callable[[Addresses, Operation], Affine | None]
PointerRule = Callable[[Addresses, Operation], Pointer | None]
