"""Runs a random kernel in numpy, program after program; finds out whether the kernel is one whose result is defined."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.fuzz import semantics
from tests.fuzz.kernel import Block, Buffer, Kernel, Operation, Value

Array = Any
# Virtual addresses: buffer k has its pointer at (k + 1) << SPACING, in bytes; no defined access leaves its window.
SPACING = 48


class Undefined(Exception):
    """The kernel does what no implementation promises a result for: `operation` is to go."""

    def __init__(self, operation: Operation, why: str) -> None:
        super().__init__(f"{operation.name}: {why}")
        self.operation = operation


@dataclass(eq=False)
class Memory:
    """Contents of a buffer, errors of its elements, and who touched which."""

    contents: Array
    error: Array
    writer: Array
    reader: Array
    atomic: Array


@dataclass
class Outcome:
    """Memory after the launch; `negative_remainder`: some remsi had a negative dividend."""

    memories: list[Memory] = field(default_factory=list)
    negative_remainder: bool = False


@dataclass
class _Number:
    data: Array
    error: Array | None = None


_SHARED = -2


def interpret(kernel: Kernel) -> Outcome:
    """Runs all programs of the launch; raises Undefined."""
    outcome = Outcome()
    for buffer in kernel.buffers:
        count = len(buffer.contents)
        outcome.memories.append(
            Memory(
                buffer.contents.copy(),
                np.zeros(count),
                np.full(count, -1, np.int16),
                np.full(count, -1, np.int16),
                np.zeros(count, np.bool_),
            )
        )
    with np.errstate(all="ignore"):
        for program in range(kernel.grid):
            _Program(kernel, outcome, program).run()
    return outcome


class _Program:
    def __init__(self, kernel: Kernel, outcome: Outcome, number: int) -> None:
        self.kernel = kernel
        self.outcome = outcome
        self.number = number
        self.values: dict[Value, _Number] = {}
        for index, buffer in enumerate(kernel.buffers):
            self.values[buffer.pointer] = _Number(np.int64((index + 1) << SPACING))
        for value, number_ in kernel.numbers.items():
            self.values[value] = _Number(np.asarray(number_, semantics.HOLDERS[value.type.dtype]))

    def run(self) -> None:
        self.block(self.kernel.body)

    def block(self, block: Block) -> list[_Number]:
        for operation in block.operations:
            results = self.operation(operation)
            for value, result in zip(operation.results, results, strict=True):
                self.values[value] = result
        return [self.values[value] for value in block.outputs]

    def operation(self, operation: Operation) -> list[_Number]:
        known = _RULES.get(operation.name)
        if known is not None:
            return known(self, operation)
        operands = [self.values[value] for value in operation.operands]
        data = [operand.data for operand in operands]
        if all(operand.error is None for operand in operands):
            result = np.asarray(_exact(operation, data))
        else:
            result, error = _inexact(operation, operands)
            return [_Number(result, error)]
        return [_Number(result)]

    # ---- memory
    def places(self, operation: Operation, mask: Array | None) -> tuple[Buffer, Memory, Array, Array]:
        """Buffer, memory, element indices of the window and mask of an access; active places are inside the window."""
        address = np.asarray(self.values[operation.operands[0]].data)
        active = np.ones(address.shape, np.bool_) if mask is None else np.broadcast_to(mask, address.shape)
        owner = (address + (np.int64(1) << np.int64(SPACING - 1))) >> np.int64(SPACING)
        used = np.unique(owner[active])
        if len(used) > 1:
            raise Undefined(operation, "goes to two buffers")
        number = int(used[0]) - 1 if len(used) else 0
        if not 0 <= number < len(self.kernel.buffers):
            raise Undefined(operation, "goes to no buffer")
        buffer, memory = self.kernel.buffers[number], self.outcome.memories[number]
        size = semantics.size_of(buffer.dtype)
        offset = address - (np.int64(number + 1) << np.int64(SPACING))
        index = np.floor_divide(offset, size) + buffer.half
        inside = (index >= 0) & (index < len(memory.contents)) & (offset % size == 0)
        if (active & ~inside).any():
            raise Undefined(operation, "leaves the window of its buffer")
        if len(used) and buffer.dtype != operation.attributes["dtype"]:
            raise Undefined(operation, "has another element type than its buffer")
        return buffer, memory, np.where(active, index, 0), active

    def note(self, operation: Operation, memory: Memory, index: Array, is_write: bool, is_atomic: bool = False) -> None:
        """Finds races between programs."""
        writer, reader = memory.writer[index], memory.reader[index]
        others = (writer != -1) & (writer != self.number)
        if is_atomic:
            others = others & ~memory.atomic[index] | ((reader != -1) & (reader != self.number))
        elif is_write:
            others = others | ((reader != -1) & (reader != self.number))
        if others.any():
            raise Undefined(operation, "races with another program")
        if is_write:
            memory.writer[index] = self.number
            memory.atomic[index] = is_atomic
        else:
            memory.reader[index] = np.where((reader == -1) | (reader == self.number), self.number, _SHARED)

    def load(self, operation: Operation) -> list[_Number]:
        operands = operation.operands
        mask = self.values[operands[1]].data if len(operands) > 1 else None
        _, memory, index, active = self.places(operation, mask)
        self.note(operation, memory, index[active], False)
        dtype = semantics.HOLDERS[operation.result.type.dtype]
        if len(operands) > 2:
            result = np.array(np.broadcast_to(self.values[operands[2]].data, index.shape), dtype)
            error = self.values[operands[2]].error
        else:
            result, error = np.zeros(index.shape, dtype), None
        result[active] = memory.contents[index][active]
        errors = np.where(active, memory.error[index], 0.0 if error is None else error)
        return [_Number(result, None if operation.result.exact else errors)]

    def store(self, operation: Operation) -> list[_Number]:
        value = self.values[operation.operands[1]]
        mask = self.values[operation.operands[2]].data if len(operation.operands) > 2 else None
        _, memory, index, active = self.places(operation, mask)
        data = np.broadcast_to(value.data, index.shape)[active]
        places = index[active]
        if len(np.unique(places)) != len(places):
            raise Undefined(operation, "writes one place twice")
        self.note(operation, memory, places, True)
        memory.contents[places] = data
        memory.error[places] = 0.0 if value.error is None else np.broadcast_to(value.error, index.shape)[active]
        return []

    def atomic(self, operation: Operation) -> list[_Number]:
        swap = operation.name == "tt.atomic_cas"
        operands = [self.values[value] for value in operation.operands]
        mask = operands[2].data if len(operands) > 2 and not swap else None
        _, memory, index, active = self.places(operation, mask)
        self.note(operation, memory, index[active], True, True)
        old = np.zeros(index.shape, semantics.HOLDERS[operation.result.type.dtype])
        value = np.broadcast_to(operands[1].data, index.shape)
        desired = np.broadcast_to(operands[2].data, index.shape) if swap else value
        for place in np.ndindex(index.shape):
            if not active[place]:
                continue
            at = index[place]
            before = memory.contents[at : at + 1].copy()
            old[place] = before[0]
            if not swap:
                new = semantics.atomic(operation.attributes["kind"], before, np.asarray([value[place]]))
                memory.contents[at] = new[0]
            elif before[0] == value[place]:
                memory.contents[at] = desired[place]
        return [_Number(old)]

    # ---- control flow
    def for_loop(self, operation: Operation) -> list[_Number]:
        low, high, step = (int(self.values[value].data) for value in operation.operands[:3])
        carried = [self.values[value] for value in operation.operands[3:]]
        body = operation.regions[0]
        holder = semantics.HOLDERS[body.arguments[0].type.dtype]
        for index in range(low, high, step):
            self.values[body.arguments[0]] = _Number(np.asarray(index, holder))
            for value, number in zip(body.arguments[1:], carried, strict=True):
                self.values[value] = number
            carried = self.block(body)
        return carried

    def branch(self, operation: Operation) -> list[_Number]:
        chosen = 0 if self.values[operation.operands[0]].data else 1
        if chosen >= len(operation.regions):
            return []
        return self.block(operation.regions[chosen])

    def while_loop(self, operation: Operation) -> list[_Number]:
        carried = [self.values[value] for value in operation.operands]
        before, after = operation.regions
        while True:
            for value, number in zip(before.arguments, carried, strict=True):
                self.values[value] = number
            condition, *carried = self.block(before)
            if not condition.data:
                return carried
            for value, number in zip(after.arguments, carried, strict=True):
                self.values[value] = number
            carried = self.block(after)

    # ---- order is free
    def reduction(self, operation: Operation) -> list[_Number]:
        operand = self.values[operation.operands[0]]
        name, axis = operation.attributes["combiner"], operation.attributes["axis"]
        dtype = operation.result.type.dtype
        scan = operation.name == "tt.scan"
        reverse = operation.attributes.get("reverse", False)
        if operation.result.exact:
            if scan:
                return [_Number(semantics.scan_exactly(name, operand.data, axis, reverse))]
            return [_Number(semantics.reduce_exactly(name, operand.data, axis, dtype))]
        wide = operand.data.astype(np.float64)
        magnitude = np.abs(wide)
        if scan:
            total = semantics.scan_exactly(name, wide, axis, reverse)
            spread = semantics.scan_exactly(name, magnitude, axis, reverse)
        else:
            total, spread = wide.sum(axis), magnitude.sum(axis)
        count = operand.data.shape[axis]
        error = spread * semantics.EPSILON[dtype] * (count + 1)
        error = np.where(np.isfinite(spread) & (spread < semantics.LARGEST[dtype] / 4), error, np.inf)
        return [_Number(semantics.to_float(total, dtype), error + 1e-37)]

    def dot(self, operation: Operation) -> list[_Number]:
        a, b, c = (self.values[value].data for value in operation.operands)
        dtype = operation.result.type.dtype
        if operation.result.type.is_integer:
            return [_Number((a.astype(np.int32) @ b.astype(np.int32)) + c)]
        left, right = a.astype(np.float64), b.astype(np.float64)
        total = left @ right + c
        spread = np.abs(left) @ np.abs(right) + np.abs(c.astype(np.float64))
        error = spread * semantics.EPSILON[dtype] * (a.shape[-1] + 2)
        error = np.where(np.isfinite(spread) & (spread < semantics.LARGEST[dtype] / 4), error, np.inf)
        return [_Number(semantics.to_float(total, dtype), error + 1e-37)]

    def remainder(self, operation: Operation) -> list[_Number]:
        a, b = (self.values[value].data for value in operation.operands)
        self.outcome.negative_remainder |= bool((a < 0).any())
        return [_Number(np.asarray(semantics.INTEGER_BINARY[operation.name](a, b)))]

    def program_id(self, operation: Operation) -> list[_Number]:
        return [_Number(np.asarray(self.number, np.int32))]

    def split(self, operation: Operation) -> list[_Number]:
        operand = self.values[operation.operands[0]]
        return [_Number(operand.data[..., way].copy()) for way in (0, 1)]


_RULES: dict[str, Callable[[_Program, Operation], list[_Number]]] = {
    "tt.load": _Program.load,
    "tt.store": _Program.store,
    "tt.atomic_rmw": _Program.atomic,
    "tt.atomic_cas": _Program.atomic,
    "scf.for": _Program.for_loop,
    "scf.if": _Program.branch,
    "scf.while": _Program.while_loop,
    "tt.reduce": _Program.reduction,
    "tt.scan": _Program.reduction,
    "tt.dot": _Program.dot,
    "tt.get_program_id": _Program.program_id,
    "tt.split": _Program.split,
    "arith.remsi": _Program.remainder,
}


def _exact(operation: Operation, data: list[Array]) -> Array:
    name, attributes = operation.name, operation.attributes
    result = operation.result.type
    if name == "arith.constant":
        value = attributes["value"]
        return np.full(result.shape, value, semantics.HOLDERS[result.dtype])
    if name in semantics.INTEGER_BINARY:
        return semantics.INTEGER_BINARY[name](*data)
    if name in semantics.FLOAT_BINARY:
        return semantics.float_binary(operation, *data)
    if name in semantics.FLOAT_UNARY:
        return semantics.float_unary(operation, *data)
    if name in _MOVES:
        return _MOVES[name](operation, data)
    if name == "arith.cmpi":
        return semantics.compare_integers(attributes["predicate"], *data)
    if name == "arith.cmpf":
        return semantics.compare_floats(attributes["predicate"], *data)
    if name == "arith.select":
        return np.where(*data)
    if name == "tt.addptr":
        size = semantics.size_of(result.dtype)
        return data[0] + data[1].astype(np.int64) * np.int64(size)
    return semantics.convert(operation, data[0])


def _histogram(operation: Operation, data: list[Array]) -> Array:
    bins = operation.result.type.shape[0]
    return np.bincount(data[0], minlength=bins).astype(np.int32)


_MOVES: dict[str, Callable[[Operation, list[Array]], Array]] = {
    "tt.make_range": lambda op, data: np.arange(op.attributes["start"], op.attributes["end"], dtype=np.int32),
    "tt.splat": lambda op, data: np.full(op.result.type.shape, data[0], data[0].dtype),
    "tt.expand_dims": lambda op, data: np.expand_dims(data[0], op.attributes["axis"]),
    "tt.broadcast": lambda op, data: np.broadcast_to(data[0], op.result.type.shape),
    "tt.trans": lambda op, data: np.transpose(data[0], op.attributes["order"]),
    "tt.reshape": lambda op, data: np.ascontiguousarray(data[0]).reshape(op.result.type.shape),
    "tt.join": lambda op, data: np.stack(data, -1),
    "tt.cat": lambda op, data: np.concatenate(data),
    "tt.gather": lambda op, data: np.take_along_axis(data[0], data[1].astype(np.int64), op.attributes["axis"]),
    "tt.histogram": _histogram,
}


def _inexact(operation: Operation, operands: list[_Number]) -> tuple[Array, Array]:
    """A result with a bound of its error, for the few operations that take inexact operands."""
    name, dtype = operation.name, operation.result.type.dtype
    data = [operand.data for operand in operands]
    errors = [np.zeros(np.shape(item.data)) if item.error is None else item.error for item in operands]
    if name in _MOVES:
        moved = _MOVES[name](operation, data)
        return moved, np.asarray(_MOVES[name](operation, errors), np.float64)
    if name == "arith.select":
        return np.where(*data), np.where(data[0], errors[1], errors[2])
    if name in ("arith.negf", "math.absf"):
        return semantics.float_unary(operation, *data), errors[0]
    wide = [np.abs(item.astype(np.float64)) for item in data]
    if name in ("arith.extf", "arith.truncf"):
        result = semantics.convert(operation, data[0])
        error = errors[0]
    else:
        result = semantics.float_binary(operation, *data)
        if name in ("arith.addf", "arith.subf"):
            error = errors[0] + errors[1]
        else:
            error = wide[0] * errors[1] + wide[1] * errors[0] + errors[0] * errors[1]
    magnitude = np.abs(result.astype(np.float64))
    error = error + magnitude * semantics.EPSILON[dtype] + 1e-37
    if dtype == "f16":
        error = error + 2.0**-24
    safe = np.isfinite(magnitude) & (magnitude + error < semantics.LARGEST[dtype] / 4) & np.isfinite(error)
    return result, np.where(safe, error, np.inf)


def approximate(operation: Operation, data: Array) -> tuple[Array, Array]:
    """A function of the SIMD engine's tables: its value and the bound it is held to."""
    dtype = operation.result.type.dtype
    result = semantics.float_unary(operation, data)
    wide = np.abs(np.asarray(result, np.float64))
    relative = max(semantics.EPSILON[dtype], 2.0**-18)
    error = wide * relative + (relative if operation.name in ("math.sin", "math.cos", "math.log", "math.log2") else 0)
    argument = np.abs(np.asarray(data, np.float64))
    safe = np.isfinite(wide) & (wide < semantics.LARGEST[dtype] / 4) & (argument < 50)
    return result, np.where(safe, error + (2.0**-24 if dtype == "f16" else 1e-37), np.inf)


def _approximate_rule(program: _Program, operation: Operation) -> list[_Number]:
    result, error = approximate(operation, program.values[operation.operands[0]].data)
    return [_Number(result, error)]


for _name in semantics.APPROXIMATE_UNARY:
    _RULES[_name] = _approximate_rule
