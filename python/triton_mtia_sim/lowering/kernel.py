"""Lowers one kernel: effects in program order, everything else only when some consumer wants it as data."""

from collections.abc import Sequence

from mtia_core.dtypes import DType
from triton_mtia_sim.analysis.interfaces import EffectInSpeculation
from triton_mtia_sim.errors import UnsupportedOperation
from triton_mtia_sim.ir.operations import Block, Operation, Value
from triton_mtia_sim.ir.types import DescriptorType, PointerType, ScalarType, element_of, shape_of
from triton_mtia_sim.lowering.registry import CONTROL_FLOW, EFFECTS, ELEMENTWISE, PURE, is_volatile
from triton_mtia_sim.lowering.site import LoweringState, Site
from triton_mtia_sim.lowering.state import KernelArgument
from triton_mtia_sim.tiles.machine import Register


class KernelLowering(LoweringState):
    """Lowers one kernel."""

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

    def is_elementwise(self, name: str) -> bool:
        """Whether the lowering of an operation works element by element."""
        return name in ELEMENTWISE

    def _lower(self, value: Value) -> Register:
        operation = value.operation
        if operation is None:
            return self.control.argument(value)
        if operation.name in CONTROL_FLOW:
            return self.control.result(value)
        if operation.name in EFFECTS or is_volatile(operation):
            self._effect(operation)
            return self.registers[value]
        lowering = PURE.get(operation.name)
        if lowering is None:
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
                    if inner.name in EFFECTS or is_volatile(inner):
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
            lowering = EFFECTS.get(operation.name) or PURE[operation.name]
            results = lowering(Site(self, operation, self.before[operation]))
            self.builder.location = location
            self.effects[operation] = [results] if isinstance(results, Register) else results or ()
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
