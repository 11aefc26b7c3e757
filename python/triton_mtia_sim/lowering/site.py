"""One operation being lowered: its operands as registers, and the instructions put in its place."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NoReturn

from mtia_core.dtypes import DType
from triton_mtia_sim.analysis.address import AddressAnalysis
from triton_mtia_sim.errors import UnsupportedOperation
from triton_mtia_sim.ir.operations import Block, Operation, Value
from triton_mtia_sim.ir.types import Type, shape_of
from triton_mtia_sim.lowering.access import Access
from triton_mtia_sim.lowering.control_flow import ControlFlow
from triton_mtia_sim.lowering.state import KernelState, LoweringOptions
from triton_mtia_sim.tiles.builder import Builder
from triton_mtia_sim.tiles.machine import Bucket, Code, Register, Shape

Environment = dict[Value, Register]


class LoweringState(KernelState):
    """A kernel's values, its control flow and closed forms, and what its accesses have added."""

    def __init__(self, function: Operation, options: LoweringOptions) -> None:
        super().__init__(function, options)
        self.effects: dict[Operation, Sequence[Register]] = {}
        self.asserted: list[tuple[Bucket, Code]] = []  # checks of accesses, in the order in which they were written
        self.checked: set[tuple[Block | None, Register]] = set()
        self.accesses: dict[Operation, Access | None] = {}  # how each went; None: with an address for each element
        self.speculations = 0  # attempts of the address analysis that may still be undone
        self.control = ControlFlow(self)
        self.addresses = AddressAnalysis(self)

    @property
    def carried_scalars(self) -> ControlFlow:
        return self.control

    @abstractmethod
    def is_elementwise(self, name: str) -> bool:
        """Whether the lowering of an operation works element by element."""


class Site:
    """An operation and the bucket its instructions go to. `environment` binds the arguments of a combiner region."""

    def __init__(
        self, kernel: LoweringState, operation: Operation, bucket: Bucket, environment: Environment | None = None
    ) -> None:
        self.kernel = kernel
        self.operation = operation
        self.bucket = bucket
        self.environment = environment

    @property
    def builder(self) -> Builder:
        return self.kernel.builder

    @property
    def name(self) -> str:
        return self.operation.name

    def attribute(self, name: str, default: Any = None) -> Any:
        return self.operation.attributes.get(name, default)

    def refuse(self, what: str, remedy: str) -> NoReturn:
        """Raises UnsupportedOperation for this operation."""
        raise UnsupportedOperation(self.name, self.operation.location, what, remedy)

    # ---- operands
    @property
    def operand_count(self) -> int:
        return len(self.operation.operands)

    def operand_type(self, index: int) -> Type:
        return self.operation.operands[index].type

    def operand(self, index: int) -> Register:
        """An operand as data, compact: a scalar, or a tile that may have size 1 where its type is larger."""
        value = self.operation.operands[index]
        if self.environment is not None and value in self.environment:
            return self.environment[value]
        return self.kernel.data(value)

    def full(self, index: int) -> Register:
        """An operand as a tile of its type's shape (a scalar where the type is one)."""
        return self.expand(self.operand(index), shape_of(self.operand_type(index)))

    def operands(self) -> list[Register]:
        return [self.operand(index) for index in range(self.operand_count)]

    # ---- result types
    def result_dtype(self, index: int = 0) -> DType:
        return self.kernel.dtype_of(self.operation.results[index].type, self.operation)

    def result_shape(self, index: int = 0) -> Shape:
        return shape_of(self.operation.results[index].type)

    # ---- instructions
    def emit(
        self,
        mnemonic: str,
        results: Sequence[Register | None],
        operands: Sequence[Register | None],
        attributes: tuple[int, ...] = (),
    ) -> Code:
        return self.builder.emit(self.bucket, mnemonic, results, operands, attributes)

    def tile(self, dtype: DType, shape: Shape) -> Register:
        """A fresh register of this place."""
        return Register(dtype, shape, self.bucket)

    def make(
        self,
        mnemonic: str,
        dtype: DType,
        shape: Shape,
        operands: Sequence[Register | None],
        attributes: tuple[int, ...] = (),
    ) -> Register:
        """Emits an instruction with one fresh result."""
        result = self.tile(dtype, shape)
        self.emit(mnemonic, [result], operands, attributes)
        return result

    def elementwise(
        self, mnemonic: str, operands: Sequence[Register], dtype: DType, attributes: tuple[int, ...] = ()
    ) -> Register:
        """An element-wise instruction over compact operands; a scalar one where all operands are."""
        shape = self.broadcast_shape(operands)
        if not shape:
            return self.builder.scalar(mnemonic, dtype, operands, attributes)
        return self.make(mnemonic, dtype, shape, operands, attributes)

    def broadcast_shape(self, operands: Sequence[Register]) -> Shape:
        """Shape that compact operands broadcast to."""
        shape: Shape = ()
        for operand in operands:
            if operand.shape and shape != operand.shape:
                if shape and len(shape) != len(operand.shape):
                    raise ValueError(f"{self.operation.location}: {self.name}: tiles {shape} and {operand.shape} meet")
                shape = tuple(max(a, b) for a, b in zip(shape, operand.shape, strict=True)) if shape else operand.shape
        return shape

    def expand(self, register: Register, shape: Shape) -> Register:
        """A compact register as a full tile."""
        if register.shape == shape:
            return register
        return self.make("copy", register.dtype, shape, [register])

    def extract(self, tile: Register) -> Register:
        """The only element of a tile, as a scalar."""
        flat = self.builder.view(tile, (1,))
        kind = 4 if tile.dtype.is_float else 13 if tile.dtype is DType.I1 else 8
        return self.make("reduce", tile.dtype, (), [flat], (kind, 0))

    def convert(self, register: Register, dtype: DType, signed: bool = True) -> Register:
        """Numeric conversion, rounding to nearest even."""
        if register.dtype is dtype:
            return register
        if register.is_constant and register.dtype.is_integer and dtype.is_float:
            return self.builder.floating(float(register.integer), dtype)
        if register.dtype.is_float and dtype.is_float:
            return self.elementwise("convert_f", [register], dtype, (0,))
        if register.dtype.is_float:
            return self.elementwise("convert_f_to_s" if signed else "convert_f_to_u", [register], dtype)
        if dtype.is_float:
            return self.elementwise("convert_s_to_f" if signed else "convert_u_to_f", [register], dtype)
        signed = signed and register.dtype is not DType.I1
        return self.elementwise("extend_s" if signed else "extend_u", [register], dtype)
