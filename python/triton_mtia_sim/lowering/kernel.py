"""Lowers one kernel: effects in program order, everything else only when some consumer wants it as data."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mtia_core.dtypes import DType
from triton_mtia_sim.analysis.address import AddressAnalysis, EffectInSpeculation
from triton_mtia_sim.errors import UnsupportedOperation
from triton_mtia_sim.ir.operations import Block, Operation, Value
from triton_mtia_sim.ir.types import DescriptorType, PointerType, ScalarType, Type, element_of, shape_of
from triton_mtia_sim.lowering.builder import Builder
from triton_mtia_sim.lowering.control_flow import ControlFlow
from triton_mtia_sim.lowering.machine import Bucket, Code, Register
from triton_mtia_sim.lowering.registry import CONTROL_FLOW, EFFECTS, PURE
from triton_mtia_sim.lowering.site import Site, element_dtype

if TYPE_CHECKING:
    from triton_mtia_sim.lowering.accesses import Access


@dataclass(frozen=True)
class KernelArgument:
    """A launch argument before it has a value number."""

    name: str
    is_pointer: bool
    register: Register


@dataclass(frozen=True)
class LoweringOptions:
    """What the caller of a kernel chose."""

    num_stages: int = 2
    enable_assertions: bool = True
    has_i8_products: bool = True
    has_f8_products: bool = True


class KernelLowering:
    """State of one kernel's lowering."""

    def __init__(self, function: Operation, options: LoweringOptions) -> None:
        self.function = function
        self.options = options
        self.builder = Builder()
        self.registers: dict[Value, Register] = {}
        self.before: dict[Operation, Bucket] = {}
        self.after: dict[Operation, Bucket] = {}
        self.start: dict[Block, Bucket] = {}
        self.pending: list[Callable[[], None]] = []
        self.effects: dict[Operation, Sequence[Register]] = {}
        self.strings: list[str] = []
        self.asserted: list[tuple[Bucket, Code]] = []  # checks of accesses, in the order in which they were written
        self.checked: set[tuple[Block | None, Register]] = set()
        self.accesses: dict[Operation, Access | None] = {}  # how each went; None: with an address for each element
        self.speculations = 0  # attempts of the address analysis that may still be undone
        self.arguments: list[KernelArgument] = []
        self.padding: dict[Value, Register] = {}
        self.control = ControlFlow(self)
        self.addresses = AddressAnalysis(self)

    def run(self) -> None:
        """Lowers the whole kernel; the buckets then hold its instructions."""
        self._number(self.function)
        self._declare_arguments(self.function.regions[0].blocks[0])
        self._effects(self.function)
        while self.pending:
            self.pending.pop()()

    # ---- data on demand
    def data(self, value: Value) -> Register:
        """A value as data: a scalar, or a compact tile."""
        found = self.registers.get(value)
        return self._lower(value) if found is None else found

    def later(self, action: Callable[[], None]) -> None:
        """Defers work whose place is already decided, which keeps recursion shallow and cycles finite."""
        self.pending.append(action)

    def string(self, text: str) -> int:
        """Number of a string of the program."""
        if text not in self.strings:
            self.strings.append(text)
        return self.strings.index(text)

    def dtype_of(self, type_: Type, operation: Operation | None = None) -> DType:
        """Element type as data; pointers are I64."""
        dtype = element_dtype(type_)
        if dtype is None:
            where = operation.location if operation else self.function.location
            name = operation.name if operation else self.function.name
            raise UnsupportedOperation(name, where, f"{type_} is no data that a tile holds", "convert it before")
        return dtype

    def _lower(self, value: Value) -> Register:
        operation = value.operation
        if operation is None:
            return self.control.argument(value)
        if operation.name in CONTROL_FLOW:
            return self.control.result(value)
        lowering = PURE.get(operation.name)
        if lowering is None:
            if operation.name in EFFECTS:
                self._effect(operation)
                return self.registers[value]
            raise UnsupportedOperation(
                operation.name,
                operation.location,
                "has no lowering to tile instructions",
                "rewrite this line without it, or add a lowering (CONTRIBUTING.md)",
            )
        location, self.builder.location = self.builder.location, operation.location
        self.bind(operation, lowering(Site(self, operation, self.before[operation])))
        self.builder.location = location
        return self.registers[value]

    def bind(self, operation: Operation, results: "Register | Sequence[Register] | None") -> None:
        """Records an operation's results."""
        if results is None:
            return
        listed = [results] if isinstance(results, Register) else results
        for value, register in zip(operation.results, listed, strict=True):
            self.registers[value] = register

    # ---- walking
    def _number(self, operation: Operation) -> None:
        self.before[operation] = self.builder.bucket()
        for region in operation.regions:
            for block in region.blocks:
                self.start[block] = self.builder.bucket()
                for inner in block.operations:
                    self._number(inner)
        if operation.regions:
            self.after[operation] = self.builder.bucket()

    def _effects(self, operation: Operation) -> None:
        for region in operation.regions:
            for block in region.blocks:
                for inner in block.operations:
                    if inner.name in EFFECTS:
                        self._effect(inner)
                    elif inner.name in CONTROL_FLOW:
                        self.control.demand_condition(inner)
                        self._effects(inner)

    def _effect(self, operation: Operation) -> None:
        """Lowers an effect once, even where an analysis that is later undone asked for its result first."""
        if operation not in self.effects:
            if self.speculations:
                raise EffectInSpeculation
            location, self.builder.location = self.builder.location, operation.location
            results = EFFECTS[operation.name](Site(self, operation, self.before[operation]))
            self.builder.location = location
            self.effects[operation] = results or ()
        self.bind(operation, self.effects[operation])

    def _promise(self, number: int, register: Register) -> None:
        """Takes down what the launch promises of an argument."""
        promises = self.function.attributes.get("arg_attrs", [])
        divisor = promises[number].get("tt.divisibility", 1) if number < len(promises) else 1
        if isinstance(divisor, int) and divisor > 1 and register.dtype.is_integer:
            self.addresses.ranges.divisors[register] = divisor

    def _declare_arguments(self, block: Block) -> None:
        for number, value in enumerate(block.arguments):
            name = value.name or f"argument{number}"
            element = element_of(value.type)
            if isinstance(value.type, DescriptorType):
                base = Register(DType.I64, (), self.builder.entry)
                self.arguments.append(KernelArgument(name, True, base))
                padding = Register(DType.I1, (), self.builder.entry)
                self.arguments.append(KernelArgument(f"{name}.padding", False, padding))
                self.registers[value], self.padding[value] = base, padding
            elif isinstance(element, ScalarType | PointerType) and not shape_of(value.type):
                register = Register(self.dtype_of(value.type), (), self.builder.entry)
                self._promise(number, register)
                self.arguments.append(KernelArgument(name, isinstance(element, PointerType), register))
                self.registers[value] = register
            else:
                raise UnsupportedOperation(
                    "tt.func",
                    self.function.location,
                    f"argument {name} has type {value.type}",
                    "pass numbers and pointers",
                )
