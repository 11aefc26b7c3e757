"""Makes random kernels: data flow, control flow and effects. Addresses and masks are made in addresses.py."""

import random
from collections.abc import Callable, Sequence

import numpy as np

from tests.fuzz import semantics
from tests.fuzz.kernel import (
    BITS,
    Block,
    Buffer,
    Kernel,
    Operation,
    Shape,
    Type,
    Value,
    constant,
)

HALF = 1024  # elements on either side of a buffer's pointer
_OVERFLOW = "overflowFlags = #arith.overflow<none>"
_FAST = "fastmath = #arith.fastmath<none>"
_SIZES = {1: (1, 2, 4, 8, 16, 32, 64, 128), 2: (1, 2, 4, 8, 16, 32), 3: (1, 2, 4, 8)}


class Generator:
    """State of one kernel being made; `block` is where operations go, `scopes` what they may use."""

    def __init__(self, random_: random.Random) -> None:
        self.random = random_
        self.data = np.random.default_rng(random_.getrandbits(64))
        self.buffers: list[Buffer] = []
        self.inexact: set[Value] = set()  # pointers of buffers that take inexact results
        self.numbers: dict[Value, int | float] = {}
        self.body = Block()
        self.block = self.body
        self.scopes: list[list[Value]] = [[]]
        self.grid = random_.choice((1, 1, 2, 3))
        self.program: Value | None = None

    # ---- choices
    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def one_of(self, *makers: Callable[[], Value]) -> Value:
        return self.random.choice(makers)()

    def shape(self) -> Shape:
        rank = self.random.choice((1, 1, 2, 2, 2, 3))
        while True:
            shape = tuple(self.random.choice(_SIZES[rank]) for _ in range(rank))
            if semantics.product(shape) <= 512:
                return shape

    def number_of(self, dtype: str) -> int | float:
        """A random number that the type holds."""
        if dtype == "i1":
            return self.random.random() < 0.5
        if dtype.startswith("i"):
            bits = BITS[dtype]
            wide = self.random.choice((3, 5, 7, bits - 1))
            return self.random.randint(-(1 << min(wide, bits - 1)), (1 << min(wide, bits - 1)) - 1)
        value = self.random.choice((0.0, 1.0, -2.5, 0.125, self.random.gauss(0, 3), self.random.gauss(0, 100)))
        return float(semantics.to_float(np.float64(value), dtype))

    # ---- operations
    def emit(self, operation: Operation) -> Operation:
        self.block.operations.append(operation)
        self.scopes[-1].extend(operation.results)
        return operation

    def make(
        self,
        name: str,
        operands: Sequence[Value],
        result: Type,
        properties: str = "",
        exact: bool = True,
        **attributes: object,
    ) -> Value:
        value = Value(result, exact)
        assert len(operands) < 2 or name != "arith.cmpi" or operands[0].type == operands[1].type
        self.emit(Operation(name, list(operands), [value], dict(attributes), properties))
        return value

    def constant(self, type_: Type, value: int | float) -> Value:
        return self.emit(constant(type_, value)).result

    def argument(self, dtype: str, value: int | float) -> Value:
        """A number passed at launch."""
        result = Value(Type(dtype))
        self.numbers[result] = value
        return result

    def scalar(self, dtype: str, value: int | float) -> Value:
        """A number the compiler knows, or one that it does not."""
        return self.constant(Type(dtype), value) if self.chance(0.5) else self.argument(dtype, value)

    def binary(self, name: str, a: Value, b: Value) -> Value:
        assert a.type == b.type, (name, a.type, b.type)
        if a.type.is_integer:
            properties = _OVERFLOW if name in ("arith.addi", "arith.subi", "arith.muli", "arith.shli") else ""
        else:
            properties = _FAST
        return self.make(name, [a, b], a.type, properties, a.exact and b.exact)

    def compare(self, predicate: int, a: Value, b: Value) -> Value:
        return self.make(
            "arith.cmpi", [a, b], a.type.with_dtype("i1"), f"predicate = {predicate} : i64", predicate=predicate
        )

    def splat(self, value: Value, shape: Shape) -> Value:
        if not shape:
            return value
        return self.make("tt.splat", [value], value.type.with_shape(shape), "", value.exact)

    def expand(self, value: Value, axis: int) -> Value:
        shape = (*value.type.shape[:axis], 1, *value.type.shape[axis:])
        return self.make(
            "tt.expand_dims", [value], value.type.with_shape(shape), f"axis = {axis} : i32", value.exact, axis=axis
        )

    def broadcast(self, value: Value, shape: Shape) -> Value:
        if value.type.shape == shape:
            return value
        return self.make("tt.broadcast", [value], value.type.with_shape(shape), "", value.exact)

    def range(self, size: int, start: int = 0) -> Value:
        return self.make(
            "tt.make_range",
            [],
            Type("i32", (size,)),
            f"end = {start + size} : i32, start = {start} : i32",
            start=start,
            end=start + size,
        )

    def along(self, value: Value, dimension: int, rank: int) -> Value:
        """A tensor of rank 1 as one of `rank` that moves along one dimension."""
        for axis in range(rank):
            if axis != dimension:
                value = self.expand(value, axis)
        return value

    def cast(self, value: Value, dtype: str, signed: bool = True) -> Value:
        """Between integer types."""
        if value.type.dtype == dtype:
            return value
        wider = BITS[dtype] > BITS[value.type.dtype] or value.type.dtype == "i1"
        name = ("arith.extsi" if signed else "arith.extui") if wider else "arith.trunci"
        return self.make(name, [value], value.type.with_dtype(dtype), _OVERFLOW if name == "arith.trunci" else "")

    def program_id(self) -> Value:
        """Made once, at the head of the kernel."""
        if self.program is None:
            operation = Operation("tt.get_program_id", [], [Value(Type("i32"))], {}, "axis = 0 : i32")
            self.body.operations.insert(0, operation)
            self.scopes[0].append(operation.result)
            self.program = operation.result
        return self.program

    # ---- what is there
    def visible(self) -> list[Value]:
        return [value for scope in self.scopes for value in scope]

    def find(self, wanted: Callable[[Value], bool]) -> Value | None:
        found = [value for value in self.visible() if wanted(value)]
        return self.random.choice(found[-12:]) if found else None

    def operand(self, type_: Type, exact: bool = True) -> Value:
        """Something of a type: what is there, or a constant, a loaded tile, a range."""
        found = self.find(lambda value: value.type == type_ and (value.exact or not exact))
        if found is not None and self.chance(0.8):
            return found
        if type_.dtype == "i1" or self.chance(0.3) or not type_.shape:
            if type_.shape and type_.dtype == "i1":
                like = Type("i32", type_.shape)
                return self.compare(self.random.randrange(10), self.operand(like), self.operand(like))
            if type_.dtype != "i1" and self.chance(0.5):
                return self.splat(self.argument(type_.dtype, self.number_of(type_.dtype)), type_.shape)
            return self.constant(type_, self.number_of(type_.dtype))
        return self.simple_load(type_)

    def buffer(self, dtype: str, inexact: bool = False) -> Buffer:
        """Memory of random content, a new one or one that is there."""
        known = [b for b in self.buffers if b.dtype == dtype and (b.pointer in self.inexact) == inexact]
        if known and (len(self.buffers) > 5 or self.chance(0.5)):
            return self.random.choice(known)
        pointer = Value(Type(dtype, (), True))
        made = Buffer(pointer, self.contents(dtype, 2 * HALF), HALF)
        self.buffers.append(made)
        if inexact:
            self.inexact.add(pointer)
        return made

    def contents(self, dtype: str, count: int) -> semantics.Array:
        if dtype.startswith("i"):
            info = np.iinfo(semantics.HOLDERS[dtype])
            small = self.data.integers(-20, 20, count)
            wide = self.data.integers(info.min, info.max, count, endpoint=True)
            return np.where(self.data.random(count) < 0.6, small, wide).astype(semantics.HOLDERS[dtype])
        values = self.data.standard_normal(count) * 4
        values = np.where(self.data.random(count) < 0.3, np.rint(values), values)
        special = self.data.random(count)
        values = np.where(special < 0.002, np.nan, values)
        values = np.where((special > 0.998), np.where(values > 0, np.inf, -np.inf), values)
        return semantics.to_float(values, dtype)

    def simple_load(self, type_: Type) -> Value:
        """A contiguous tile."""
        buffer = self.buffer(type_.dtype)
        shape = type_.shape
        flat = self.range(semantics.product(shape), self.random.choice((0, 0, 0, 3)))
        if len(shape) > 1:
            flat = self.make("tt.reshape", [flat], Type("i32", shape))
        pointer = self.make("tt.addptr", [self.splat(buffer.pointer, shape), flat], Type(type_.dtype, shape, True))
        return self.load(pointer, None, None)

    def load(self, pointer: Value, mask: Value | None, other: Value | None, exact: bool = True) -> Value:
        operands = [value for value in (pointer, mask, other) if value is not None]
        segments = ", ".join("0" if value is None else "1" for value in (pointer, mask, other))
        properties = (
            "boundaryCheck = array<i32>, cache = 1 : i32, evict = 1 : i32, isVolatile = false, "
            f"operandSegmentSizes = array<i32: {segments}>"
        )
        type_ = pointer.type
        return self.make("tt.load", operands, Type(type_.dtype, type_.shape), properties, exact, dtype=type_.dtype)

    def store(self, pointer: Value, value: Value, mask: Value | None) -> None:
        operands = [pointer, value] + ([mask] if mask is not None else [])
        properties = "boundaryCheck = array<i32>, cache = 1 : i32, evict = 1 : i32"
        self.emit(Operation("tt.store", operands, [], {"dtype": pointer.type.dtype}, properties))

    def kernel(self) -> Kernel:
        return Kernel(self.buffers, self.numbers, self.body, self.grid)
