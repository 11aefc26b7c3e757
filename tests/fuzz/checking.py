"""Runs a kernel on the device, in memory of random bytes, and compares every byte with the interpretation."""

import math
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mtia_core import chips
from tests.fuzz import semantics
from tests.fuzz.interpreter import Outcome, Undefined, interpret
from tests.fuzz.kernel import ATOMICS, Block, Kernel, Operation, Value, constant, ttir
from triton_mtia_sim.errors import OutOfLocalMemory
from triton_mtia_sim.strips import aliasing
from triton_mtia_sim.strips.splitting import Strips
from triton_mtia_sim.translate import translate

GUARD = 256  # bytes around each buffer
_ALIGNMENT = 64
_NEGATIVE = "of a negative index addresses memory"


@dataclass
class Difference:
    """How a kernel disagrees; None of these is how it agrees."""

    kind: str
    text: str


def defined(kernel: Kernel) -> Outcome | None:
    """Takes out what has no defined result, one operation at a time; None where the kernel never runs."""
    for _ in range(60):
        try:
            return interpret(kernel)
        except Undefined as error:
            replace(kernel, error.operation)
    return None


def replace(kernel: Kernel, operation: Operation) -> bool:
    """Takes an operation out, constants in the place of its results; False where it cannot go."""
    if any(result.type.pointer for result in operation.results):
        return False
    for block, candidate in kernel.operations():
        if candidate is operation:
            place = block.operations.index(operation)
            made = []
            for result in operation.results:
                stand_in = constant(result.type, 1)
                stand_in.results = [result]
                made.append(stand_in)
            block.operations[place : place + 1] = made
            return True
    return False


def through_triton(text: str, folder: Path) -> str:
    """The module as Triton reads it and its passes leave it."""
    from triton._C.libtriton import ir

    from triton_mtia_sim.ttir import generic_text, optimise

    path = folder / "kernel.ttir"
    path.write_text(text)
    context = ir.context()
    ir.load_dialects(context)
    module = ir.parse_mlir_module(str(path), context)
    module.context = context
    return generic_text(optimise(module))


class Checker:
    """One device, one chip; `folder` holds what Triton reads from files; `strips` cuts tiles even where they fit."""

    def __init__(self, folder: Path, chip: str | None = None, strips: Strips | None = None) -> None:
        self.folder = folder
        self.strips = strips
        self.chip = chips.load(chip)
        torch.mtia_sim.init()
        from mtia_sim import _C

        self.extension: Any = _C

    def check(self, kernel: Kernel, passes: bool, seed: int, outcome: Outcome | None = None) -> Difference | None:
        """Compares a defined kernel with its outcome; raises Undefined where it has none."""
        outcome = outcome or interpret(kernel)
        text = ttir(kernel)
        try:
            if passes:
                text = through_triton(text, self.folder)
            program = translate(text, self.chip, strips=self.strips).encode()
        except OutOfLocalMemory:
            return None
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            return Difference("compile", f"{type(error).__name__}: {error} ({where.filename}:{where.lineno})")
        return self._run(kernel, outcome, program, seed)

    def _run(self, kernel: Kernel, outcome: Outcome, program: bytes, seed: int) -> Difference | None:
        arena, starts = self._arena(kernel, seed)
        expected = arena.copy()
        device = torch.from_numpy(arena).to("mtia_sim")
        arguments = []
        for buffer, start in zip(kernel.buffers, starts, strict=True):
            arguments.append(device.data_ptr() + start + buffer.half * semantics.size_of(buffer.dtype))
        for value, number in kernel.numbers.items():
            holder = np.asarray(number, semantics.HOLDERS[value.type.dtype])
            raw = semantics.bytes_of(holder, value.type.dtype)
            signed = value.type.is_integer and value.type.dtype != "i1"
            arguments.append(int.from_bytes(raw, "little", signed=signed) & (2**64 - 1))
        try:
            handle = self.extension.load_program(program)
            self._launch(handle, (kernel.grid, 1, 1), arguments)
            torch.mtia_sim.synchronize()
        except Exception as error:
            if _NEGATIVE in str(error) and outcome.negative_remainder:
                return None
            if self.strips is not None and self.strips.reload and aliasing.MESSAGE in str(error):
                return None
            return Difference("fault", f"{type(error).__name__}: {error}")
        found = device.cpu().numpy()
        return self._compare(kernel, outcome, starts, expected, found)

    def _launch(self, handle: Any, grid: tuple[int, int, int], arguments: list[int]) -> None:
        self.extension.run_program(handle, grid, arguments)

    def _arena(self, kernel: Kernel, seed: int) -> tuple[Any, list[int]]:
        """Random bytes, the buffers' contents in them between guards."""
        starts = []
        position = GUARD
        for buffer in kernel.buffers:
            starts.append(position)
            position += len(buffer.contents) * semantics.size_of(buffer.dtype) + GUARD
            position = math.ceil(position / _ALIGNMENT) * _ALIGNMENT
        arena = np.random.default_rng(seed).integers(0, 256, position, np.uint8)
        for buffer, start in zip(kernel.buffers, starts, strict=True):
            raw = np.frombuffer(semantics.bytes_of(buffer.contents, buffer.dtype), np.uint8)
            arena[start : start + len(raw)] = raw
        return arena, starts

    def _compare(
        self, kernel: Kernel, outcome: Outcome, starts: list[int], before: Any, after: Any
    ) -> Difference | None:
        for number, (buffer, memory, start) in enumerate(zip(kernel.buffers, outcome.memories, starts, strict=True)):
            size = len(buffer.contents) * semantics.size_of(buffer.dtype)
            found = semantics.from_bytes(after[start : start + size].tobytes(), buffer.dtype)
            wrong = differs(memory.contents, found, memory.error, buffer.dtype)
            if wrong.any():
                place = int(np.argmax(wrong))
                return Difference(
                    "value",
                    f"buffer {number} ({buffer.dtype}): {int(wrong.sum())} of {len(found)} elements differ, first at "
                    f"{place - buffer.half}: expected {memory.contents[place]!r} (bound {memory.error[place]}), "
                    f"found {found[place]!r}, before {buffer.contents[place]!r}, "
                    f"{'written' if memory.writer[place] >= 0 else 'never written'}",
                )
            before[start : start + size] = after[start : start + size]
        if (before != after).any():
            return Difference("guard", f"byte {int(np.argmax(before != after))} between the buffers was written")
        return None


def differs(expected: Any, found: Any, bound: Any, dtype: str) -> Any:
    """Where two arrays disagree beyond a bound; a NaN agrees with a NaN."""
    if dtype.startswith("i"):
        return expected != found
    exact = bound == 0
    bits = {2: np.uint16, 4: np.uint32, 8: np.uint64}[expected.dtype.itemsize]
    same = (expected.view(bits) == found.view(bits)) | (np.isnan(expected) & np.isnan(found))
    with np.errstate(all="ignore"):
        near = np.abs(expected.astype(np.float64) - found.astype(np.float64)) <= bound
    return np.where(exact, ~same, ~(same | near | np.isinf(bound)))


def minimise(checker: Checker, kernel: Kernel, passes: bool, seed: int, kind: str) -> Kernel:
    """Takes operations out while the kernel still fails in the same way."""

    def fails() -> bool:
        try:
            difference = checker.check(kernel, passes, seed)
        except Undefined:
            return False
        return difference is not None and difference.kind == kind

    undo = _contents(kernel)
    remove_unused(kernel)
    removes = fails()  # else what fails is something that has no effect
    if not removes:
        undo()
    for wanted in (_has_effect, lambda operation: True):
        for _, operation in reversed(list(kernel.operations())):
            present = any(operation is other for _, other in kernel.operations())
            if operation.name == "arith.constant" or not present or not wanted(operation):
                continue
            undo = _contents(kernel)
            if replace(kernel, operation):
                if removes:
                    remove_unused(kernel)
                if not fails():
                    undo()
    return kernel


def _has_effect(operation: Operation) -> bool:
    return operation.name in ("tt.store", *ATOMICS, "scf.if", "scf.for", "scf.while")


def _contents(kernel: Kernel) -> Callable[[], None]:
    """Remembers every block; the result puts them back."""
    blocks = {id(block): (block, list(block.operations)) for block, _ in kernel.operations()}
    blocks[id(kernel.body)] = (kernel.body, list(kernel.body.operations))
    numbers, buffers = dict(kernel.numbers), list(kernel.buffers)

    def undo() -> None:
        for block, operations in blocks.values():
            block.operations[:] = operations
        kernel.numbers, kernel.buffers = numbers, buffers

    return undo


def remove_unused(kernel: Kernel) -> None:
    """Takes out what no store or atomic depends on."""
    used: set[Value] = set()
    _sweep(kernel.body, used)
    kernel.numbers = {value: number for value, number in kernel.numbers.items() if value in used}
    kept = {buffer.pointer for buffer in kernel.buffers} & used
    kernel.buffers = [buffer for buffer in kernel.buffers if buffer.pointer in kept]


def _sweep(block: Block, used: set[Value]) -> None:
    """Keeps what has an effect or is used behind; everything that a kept loop or branch carries stays."""
    used.update(block.outputs)
    for operation in reversed(list(block.operations)):
        effect = operation.name in ("tt.store", *ATOMICS) or any(_has_effects(region) for region in operation.regions)
        if not effect and not used & set(operation.results):
            block.operations.remove(operation)
            continue
        used.update(operation.operands)
        for region in operation.regions:
            _sweep(region, used)


def _has_effects(block: Block) -> bool:
    return any(
        operation.name in ("tt.store", *ATOMICS) or any(_has_effects(region) for region in operation.regions)
        for operation in block.operations
    )
