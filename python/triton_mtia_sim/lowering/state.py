"""What is known of a kernel while it is lowered, in two steps: its values and places, then what is built on them."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from mtia_core.dtypes import DType
from triton_mtia_sim.errors import UnsupportedOperation
from triton_mtia_sim.ir.operations import Block, Operation, Value
from triton_mtia_sim.ir.types import Type, element_dtype
from triton_mtia_sim.tiles.builder import Builder
from triton_mtia_sim.tiles.machine import Bucket, Register


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
    has_f4_products: bool = False
    mx_block_elements: int = 0  # 0: no products of MX formats
    has_number_scales: bool = False  # of 16 e2m1 elements


class KernelState(ABC):
    """Values of one kernel as registers, the places of its operations, and work that is put off."""

    def __init__(self, function: Operation, options: LoweringOptions) -> None:
        self.function = function
        self.options = options
        self.builder = Builder()
        self.registers: dict[Value, Register] = {}
        self.before: dict[Operation, Bucket] = {}
        self.after: dict[Operation, Bucket] = {}
        self.start: dict[Block, Bucket] = {}
        self.pending: list[Callable[[], None]] = []
        self.strings: list[str] = []
        self.arguments: list[KernelArgument] = []
        self.padding: dict[Value, Register] = {}

    @abstractmethod
    def data(self, value: Value) -> Register:
        """A value as data: a scalar, or a compact tile."""

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
