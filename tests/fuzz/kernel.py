"""Random kernels as data: values, operations and regions, printed as TTIR in MLIR's generic form."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Shape = tuple[int, ...]
BITS = {
    "i1": 8,
    "i8": 8,
    "i16": 16,
    "i32": 32,
    "i64": 64,
    "f16": 16,
    "bf16": 16,
    "f32": 32,
    "f64": 64,
    "f8E5M2": 8,
    "f8E4M3FN": 8,
}
INTEGERS = ("i8", "i16", "i32", "i64")
FLOATS = ("f16", "bf16", "f32", "f64")


@dataclass(frozen=True)
class Type:
    """A scalar (shape ()) or tensor of `dtype`, or of pointers to it."""

    dtype: str
    shape: Shape = ()
    pointer: bool = False

    @property
    def text(self) -> str:
        element = f"!tt.ptr<{self.dtype}>" if self.pointer else self.dtype
        return f"tensor<{''.join(f'{size}x' for size in self.shape)}{element}>" if self.shape else element

    @property
    def is_integer(self) -> bool:
        return self.dtype.startswith("i") and not self.pointer

    @property
    def is_float(self) -> bool:
        return not self.dtype.startswith("i") and not self.pointer

    def with_shape(self, shape: Sequence[int]) -> "Type":
        return Type(self.dtype, tuple(shape), self.pointer)

    def with_dtype(self, dtype: str) -> "Type":
        return Type(dtype, self.shape, self.pointer)


@dataclass(eq=False)
class Value:
    """An SSA value; an inexact float is compared within a bound and decides nothing."""

    type: Type
    exact: bool = True


@dataclass(eq=False)
class Block:
    """Operations with the values that come in and those that go out."""

    arguments: list[Value] = field(default_factory=list)
    operations: list["Operation"] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)


@dataclass(eq=False)
class Operation:
    """One TTIR operation. `attributes` is what the semantics read, `properties` the text between <{ and }>."""

    name: str
    operands: list[Value]
    results: list[Value]
    attributes: dict[str, Any] = field(default_factory=dict)
    properties: str = ""
    regions: list[Block] = field(default_factory=list)

    @property
    def result(self) -> Value:
        return self.results[0]


@dataclass(eq=False)
class Buffer:
    """Memory behind a pointer argument: a window of elements around the pointer, contents and bounds of their error."""

    pointer: Value
    contents: Any
    half: int

    @property
    def dtype(self) -> str:
        return self.pointer.type.dtype


@dataclass(eq=False)
class Kernel:
    """A kernel and one launch of it: `numbers` holds the scalar arguments by value."""

    buffers: list[Buffer]
    numbers: dict[Value, int | float]
    body: Block
    grid: int

    def operations(self) -> Iterator[tuple[Block, Operation]]:
        """Every operation with the block it stands in, outermost first."""
        yield from _walk(self.body)


def _walk(block: Block) -> Iterator[tuple[Block, Operation]]:
    for operation in list(block.operations):
        yield block, operation
        for region in operation.regions:
            yield from _walk(region)


_RETURNS = {
    "scf.for": "scf.yield",
    "scf.if": "scf.yield",
    "tt.reduce": "tt.reduce.return",
    "tt.scan": "tt.scan.return",
}


def effects(kernel: Kernel) -> list[Operation]:
    """Stores and atomics."""
    return [operation for _, operation in kernel.operations() if operation.name in ("tt.store", *ATOMICS)]


ATOMICS = ("tt.atomic_rmw", "tt.atomic_cas")


def ttir(kernel: Kernel, name: str = "fuzz") -> str:
    """The module in generic form."""
    return _Printer().module(kernel, name)


class _Printer:
    def __init__(self) -> None:
        self.names: dict[Value, str] = {}
        self.lines: list[str] = []

    def module(self, kernel: Kernel, name: str) -> str:
        arguments = [buffer.pointer for buffer in kernel.buffers] + list(kernel.numbers)
        types = ", ".join(value.type.text for value in arguments)
        for number, value in enumerate(arguments):
            self.names[value] = f"%arg{number}"
        attributes = ", ".join("{}" for _ in arguments)
        self.lines.append('"builtin.module"() ({')
        self.lines.append(
            f'  "tt.func"() <{{arg_attrs = [{attributes}], function_type = ({types}) -> (), sym_name = "{name}", '
            'sym_visibility = "public"}> ({'
        )
        self.lines.append(f"  ^bb0({self.header(arguments)}):")
        self.block(kernel.body, "    ")
        self.lines.append('    "tt.return"() : () -> ()')
        self.lines.append("  }) {noinline = false} : () -> ()")
        self.lines.append("}) : () -> ()")
        return "\n".join(self.lines) + "\n"

    def header(self, arguments: Sequence[Value]) -> str:
        return ", ".join(f"{self.name(value)}: {value.type.text}" for value in arguments)

    def name(self, value: Value) -> str:
        if value not in self.names:
            self.names[value] = f"%{len(self.names)}"
        return self.names[value]

    def block(self, block: Block, indent: str) -> None:
        for operation in block.operations:
            self.operation(operation, indent)

    def operation(self, operation: Operation, indent: str) -> None:
        operands = ", ".join(self.name(value) for value in operation.operands)
        head = f'"{operation.name}"({operands})'
        if operation.properties:
            head += f" <{{{operation.properties}}}>"
        types = ", ".join(value.type.text for value in operation.operands)
        results = ", ".join(value.type.text for value in operation.results)
        if len(operation.results) != 1:
            results = f"({results})"
        names = ""
        if len(operation.results) == 1:
            names = f"{self.name(operation.result)} = "
        elif operation.results:
            group = f"%group{len(self.names)}"
            for number, value in enumerate(operation.results):
                self.names[value] = f"{group}#{number}"
            names = f"{group}:{len(operation.results)} = "
        located = f' loc("fuzz.ttir":{len(self.lines) + 1}:0)'
        if not operation.regions:
            self.lines.append(f"{indent}{names}{head} : ({types}) -> {results}{located}")
            return
        self.lines.append(f"{indent}{names}{head} ({{")
        for number, region in enumerate(operation.regions):
            if number:
                self.lines.append(f"{indent}}}, {{")
            if region.arguments:
                self.lines.append(f"{indent}^bb0({self.header(region.arguments)}):")
            self.block(region, indent + "  ")
            if operation.name == "scf.if" and number and not region.operations and not region.outputs:
                continue
            terminator = _RETURNS.get(operation.name) or ("scf.condition" if number == 0 else "scf.yield")
            outputs = ", ".join(self.name(value) for value in region.outputs)
            output_types = ", ".join(value.type.text for value in region.outputs)
            self.lines.append(f'{indent}  "{terminator}"({outputs}) : ({output_types}) -> ()')
        self.lines.append(f"{indent}}}) : ({types}) -> {results}{located}")


def number_text(value: Any, dtype: str) -> str:
    """A constant as MLIR reads it back bit for bit."""
    if dtype == "i1":
        return "true" if value else "false"
    if dtype.startswith("i"):
        return str(int(value))
    if dtype == "f64":
        return f"0x{int(np.float64(value).view(np.uint64)):016X}"
    if dtype == "f16":
        return f"0x{int(np.float16(value).view(np.uint16)):04X}"
    bits = int(np.float32(value).view(np.uint32))
    return f"0x{bits >> 16:04X}" if dtype == "bf16" else f"0x{bits:08X}"


def constant(type_: Type, value: Any) -> Operation:
    """A scalar or splat constant; a bf16 value must be one that the type holds."""
    text = number_text(value, type_.dtype)
    if type_.shape:
        properties = f"value = dense<{text}> : {type_.text}"
    elif type_.dtype == "i1":
        properties = f"value = {text}"
    else:
        properties = f"value = {text} : {type_.text}"
    return Operation("arith.constant", [], [Value(type_)], {"value": value}, properties)
