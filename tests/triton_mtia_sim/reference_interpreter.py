"""The living definition of the tile instruction set: runs decoded programs with numpy, slowly and plainly.

f16, bf16 and f8 tiles are float32 arrays that hold rounded values; integers are signless numpy integers.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from narrow_floats import decode_bits, encode_bits, round_to

from mtia_core.dtypes import DType
from mtia_core.program import Instruction, TileProgram, ValueKind

Array = Any
NUMPY = {
    DType.I1: np.bool_,
    DType.I8: np.int8,
    DType.I16: np.int16,
    DType.I32: np.int32,
    DType.I64: np.int64,
    DType.F16: np.float32,
    DType.BF16: np.float32,
    DType.F32: np.float32,
    DType.F64: np.float64,
    DType.F8E4M3: np.float32,
    DType.F8E5M2: np.float32,
}
STORED = {
    DType.I1: np.uint8,
    DType.F16: np.uint16,
    DType.BF16: np.uint16,
    DType.F32: np.uint32,
    DType.F64: np.uint64,
    DType.F8E4M3: np.uint8,
    DType.F8E5M2: np.uint8,
}
UNSIGNED = {DType.I1: np.uint8, DType.I8: np.uint8, DType.I16: np.uint16, DType.I32: np.uint32, DType.I64: np.uint64}


class Fault(Exception):
    """A program touched what it may not, or an assertion failed."""


class Memory:
    """Device memory: allocations at increasing addresses with holes between them."""

    def __init__(self) -> None:
        self.blocks: list[tuple[int, Array]] = []
        self.next = 1 << 20

    def put(self, data: bytes) -> int:
        """Copies bytes in and returns their address."""
        address = self.next
        self.blocks.append((address, np.frombuffer(bytearray(data), np.uint8)))
        self.next += (len(data) + 1023) // 512 * 512
        return address

    def get(self, address: int) -> bytes:
        """Content of the allocation that starts at an address."""
        return next(block.tobytes() for start, block in self.blocks if start == address)

    def locate(self, addresses: Array, size: int) -> list[tuple[Array, Array, Array]]:
        """Per allocation touched: its bytes, which elements lie in it, and their byte offsets."""
        found = np.zeros(addresses.shape, bool)
        result = []
        for start, block in self.blocks:
            inside = (addresses >= start) & (addresses + size <= start + len(block))
            if inside.any():
                result.append((block, inside, addresses[inside] - start))
                found |= inside
        if not found.all():
            raise Fault(f"access to address {int(addresses[~found][0]):#x} outside of every allocation")
        return result

    def load(self, addresses: Array, dtype: DType) -> Array:
        stored = np.dtype(STORED.get(dtype, NUMPY[dtype]))
        raw = np.zeros(addresses.shape, stored)
        for block, inside, offsets in self.locate(addresses, stored.itemsize):
            picked = block[offsets[:, None] + np.arange(stored.itemsize)]
            raw[inside] = np.ascontiguousarray(picked).view(stored)[:, 0]
        return decode_bits(raw, dtype) if dtype.is_float else raw.astype(NUMPY[dtype])

    def store(self, addresses: Array, values: Array, dtype: DType) -> None:
        stored = np.dtype(STORED.get(dtype, NUMPY[dtype]))
        raw = encode_bits(values, dtype) if dtype.is_float else values.astype(stored)
        for block, inside, offsets in self.locate(addresses, stored.itemsize):
            split = np.ascontiguousarray(raw[inside]).view(np.uint8).reshape(-1, stored.itemsize)
            for offset, piece in zip(offsets, split, strict=True):  # in order: later elements win
                block[offset : offset + stored.itemsize] = piece


def run(
    program: TileProgram, memory: Memory, arguments: Sequence[int | float], grid: Sequence[int] = (1, 1, 1)
) -> list[str]:
    """Runs every program of a grid; returns what was printed."""
    grid = (*grid, 1, 1)[:3]
    printed: list[str] = []
    for z in range(grid[2]):
        for y in range(grid[1]):
            for x in range(grid[0]):
                with np.errstate(all="ignore"):
                    Machine(program, memory, arguments, (x, y, z), grid, printed).run()
    return printed


class _Return(Exception):
    pass


class Machine:
    """One program of the grid: slots of local memory as bytes, scalars by number."""

    def __init__(
        self, program: TileProgram, memory: Memory, arguments: Any, ids: Any, grid: Any, printed: list[str]
    ) -> None:
        self.program, self.memory, self.ids, self.grid, self.printed = program, memory, ids, grid, printed
        self.local = np.full(program.local_memory_bytes, 0xAA, np.uint8)
        self.scalars: dict[int, Any] = {}
        for argument, value in zip(program.arguments, arguments, strict=True):
            self.scalars[argument.value] = cast(np.array(value), argument.dtype)[()]
        self.ends = self.match()

    def match(self) -> dict[int, tuple[int, int]]:
        stack: list[list[int]] = []
        result = {}
        for position, item in enumerate(self.program.instructions):
            if item.mnemonic in ("for_begin", "while_begin", "if_begin"):
                stack.append([position, -1])
            elif item.mnemonic in ("while_test", "else_begin"):
                stack[-1][1] = position
            elif item.mnemonic == "end":
                begin, middle = stack.pop()
                result[begin] = (middle, position)
        return result

    def run(self) -> None:
        try:
            self.block(0, len(self.program.instructions))
        except _Return:
            return

    def block(self, position: int, stop: int) -> None:
        while position < stop:
            item = self.program.instructions[position]
            if item.mnemonic == "for_begin":
                end = self.ends[position][1]
                low, high, step = (int(self.read(operand)) for operand in item.operands)
                for index in range(low, high, step):
                    self.write(item.results[0], np.array(index))
                    self.block(position + 1, end)
                position = end
            elif item.mnemonic == "while_begin":
                middle, end = self.ends[position]
                while True:
                    self.block(position + 1, middle)
                    if not self.read(self.program.instructions[middle].operands[0]):
                        break
                    self.block(middle + 1, end)
                position = end
            elif item.mnemonic == "if_begin":
                middle, end = self.ends[position]
                if self.read(item.operands[0]):
                    self.block(position + 1, middle if middle >= 0 else end)
                elif middle >= 0:
                    self.block(middle + 1, end)
                position = end
            else:
                try:
                    self.step(item)
                except (Fault, ValueError, IndexError, TypeError) as error:
                    place = self.program.locations[item.location] if item.location is not None else None
                    raise Fault(
                        f"{self.program.name} {self.ids} {self.program._line(item, False)} {place}: {error}"
                    ) from error
            position += 1

    # ---- registers
    def value(self, number: int) -> Any:
        return self.program.values[number]

    def read(self, number: int | None) -> Array:
        if number is None:
            return None
        value = self.value(number)
        if value.kind is ValueKind.CONSTANT:
            if value.dtype.is_float:
                return decode_bits(np.array(value.bits, np.uint64), value.dtype)[()]
            return cast(np.array(value.bits, np.uint64).view(np.int64), value.dtype)[()]
        if value.kind is ValueKind.SCALAR:
            return self.scalars[number]
        stored = np.dtype(STORED.get(value.dtype, NUMPY[value.dtype]))
        slot = self.program.slots[value.slot]
        count = math.prod(value.dims)
        raw = self.local[slot.offset : slot.offset + count * stored.itemsize].view(stored).reshape(value.dims)
        return decode_bits(raw, value.dtype) if value.dtype.is_float else raw.astype(NUMPY[value.dtype])

    def write(self, number: int | None, data: Array) -> None:
        if number is None:
            return
        value = self.value(number)
        if value.kind is ValueKind.SCALAR:
            array = np.asarray(data)
            if array.shape != ():
                raise Fault(f"a scalar gets an array of shape {array.shape}")
            self.scalars[number] = (
                round_to(array, value.dtype)[()] if value.dtype.is_float else cast(array, value.dtype)[()]
            )
            return
        data = np.broadcast_to(data, value.dims) if np.shape(data) == () else np.asarray(data)
        if data.shape != value.dims:
            raise Fault(f"a tile of shape {value.dims} gets an array of shape {data.shape}")
        stored = np.dtype(STORED.get(value.dtype, NUMPY[value.dtype]))
        raw = (
            encode_bits(round_to(data, value.dtype), value.dtype)
            if value.dtype.is_float
            else cast(data, value.dtype).astype(stored)
        )
        slot = self.program.slots[value.slot]
        if raw.size * stored.itemsize > slot.bytes:
            raise Fault(f"a tile of {raw.size * stored.itemsize} bytes on a slot of {slot.bytes}")
        self.local[slot.offset : slot.offset + raw.size * stored.itemsize] = (
            np.ascontiguousarray(raw).reshape(-1).view(np.uint8)
        )

    def step(self, item: Instruction) -> None:
        operation = OPERATIONS.get(item.mnemonic)
        if operation is None:
            raise Fault(f"{item.mnemonic} has no definition in the reference interpreter")
        operation(self, item)

    def shape(self, number: int) -> tuple[int, ...]:
        return self.value(number).dims

    # ---- descriptors
    def coordinates(self, item: Instruction, first: int, shape: tuple[int, ...]) -> tuple[Array, Array]:
        """Byte offsets in elements and validity of a DMA descriptor."""
        offset, valid = np.zeros(shape, np.int64), np.ones(shape, bool)
        for dimension, size in enumerate(shape):
            group = item.operands[first + 5 * dimension : first + 5 * dimension + 5]
            stride, low, high, start, wrap = (None if operand is None else int(self.read(operand)) for operand in group)
            index = np.arange(size, dtype=np.int64)
            inside = (index >= (0 if low is None else low)) & (index < (size if high is None else high))
            coordinate = index + (start or 0)
            if wrap is not None:
                coordinate = np.mod(coordinate, wrap)
            place = tuple(size if d == dimension else 1 for d in range(len(shape)))
            offset = offset + ((stride or 0) * coordinate).reshape(place)
            valid = valid & inside.reshape(place)
        return offset, valid


def cast(values: Array, dtype: DType) -> Array:
    """Wraps integers to a width; I1 keeps whether the value is not zero."""
    if dtype.is_float:
        return round_to(values, dtype)
    if dtype is DType.I1:
        return np.asarray(values) != 0
    array = np.asarray(values)
    if array.dtype == np.bool_:
        array = array.astype(np.int64)
    return array.astype(NUMPY[dtype])


OPERATIONS: dict[str, Callable[[Machine, Instruction], None]] = {}


def defines(*names: str) -> Callable[[Callable[[Machine, Instruction], None]], Callable[[Machine, Instruction], None]]:
    """Registers the meaning of instructions."""

    def register(function: Callable[[Machine, Instruction], None]) -> Callable[[Machine, Instruction], None]:
        OPERATIONS.update(dict.fromkeys(names, function))
        return function

    return register


def dtype_of(machine: Machine, item: Instruction, index: int = 0, operand: bool = True) -> DType:
    number = (item.operands if operand else item.results)[index]
    assert number is not None
    return machine.value(number).dtype


import reference_products  # noqa: E402
from reference_instructions import register_all  # noqa: E402

register_all()
assert reference_products  # imported for what it registers
