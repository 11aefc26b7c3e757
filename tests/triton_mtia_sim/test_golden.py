"""Disassemblies of small kernels, one idea each, held against files; MTIA_SIM_REFRESH_GOLDEN=1 writes them anew."""

import importlib.util
import os
from pathlib import Path

import pytest
import triton
import triton.language as tl

from mtia_core.program import TileProgram
from triton_mtia_sim.launch import compile_launch

GOLDEN = Path(__file__).parent / "golden"


@triton.jit
def add(x, y, out, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    tl.store(out + offsets, tl.load(x + offsets, mask=mask) + tl.load(y + offsets, mask=mask), mask=mask)


@triton.jit
def softmax(out, x, stride, columns, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    pointers = tl.program_id(0) * stride + offsets
    values = tl.load(x + pointers, mask=offsets < columns, other=-float("inf"))
    numerator = tl.exp(values - tl.max(values, axis=0))
    tl.store(out + pointers, numerator / tl.sum(numerator, axis=0), mask=offsets < columns)


@triton.jit
def matmul(a, b, c, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    columns = tl.program_id(1) * BN + tl.arange(0, BN)
    inner = tl.arange(0, BK)
    a_pointers = a + rows[:, None] * K + inner[None, :]
    b_pointers = b + inner[:, None] * N + columns[None, :]
    accumulator = tl.zeros((BM, BN), tl.float32)
    for k in range(0, K, BK):
        left = tl.load(a_pointers, mask=(rows[:, None] < M) & (inner[None, :] < K - k), other=0.0)
        right = tl.load(b_pointers, mask=(inner[:, None] < K - k) & (columns[None, :] < N), other=0.0)
        accumulator = tl.dot(left, right, accumulator)
        a_pointers += BK
        b_pointers += BK * N
    mask = (rows[:, None] < M) & (columns[None, :] < N)
    tl.store(c + rows[:, None] * N + columns[None, :], accumulator, mask=mask)


@triton.jit
def gather_rows(table, indices, out, columns, BLOCK: tl.constexpr, COLUMNS: tl.constexpr):
    rows = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    column = tl.arange(0, COLUMNS)
    values = tl.load(table + tl.load(indices + rows)[:, None] * columns + column[None, :])
    tl.store(out + rows[:, None] * COLUMNS + column[None, :], values)


@triton.jit
def descriptor_copy(x, out, M, N, BM: tl.constexpr, BN: tl.constexpr):
    source = tl.make_tensor_descriptor(x, [M, N], [N, 1], [BM, BN])
    target = tl.make_tensor_descriptor(out, [M, N], [N, 1], [BM, BN])
    for column in range(0, N, BN):
        target.store([tl.program_id(0) * BM, column], source.load([tl.program_id(0) * BM, column]))


@triton.jit
def branch(x, n):
    value = tl.load(x)
    if n > 3:
        value = value * 2
        if n > 5:
            return
    while value < 100.0:
        value += n
    tl.store(x, value)


P, F, I = "*fp32", "fp32", "i32"  # noqa: E741
CASES = {
    "add": (add, {"x": P, "y": P, "out": P, "n": I}, {"BLOCK": 256}),
    "softmax": (softmax, {"out": P, "x": P, "stride": I, "columns": I}, {"BLOCK": 128}),
    "matmul": (matmul, {"a": "*bf16", "b": "*bf16", "c": P, "M": I, "N": I, "K": I}, {"BM": 32, "BN": 64, "BK": 16}),
    "gather_rows": (
        gather_rows,
        {"table": P, "indices": "*i64", "out": P, "columns": I},
        {"BLOCK": 8, "COLUMNS": 16},
    ),
    "descriptor_copy": (descriptor_copy, {"x": P, "out": P, "M": I, "N": I}, {"BM": 8, "BN": 16}),
    "branch": (branch, {"x": P, "n": I}, {}),
}


@pytest.mark.parametrize("name", CASES)
def test_disassembly(name):
    kernel, signature, constants = CASES[name]
    program = TileProgram.decode(compile_launch(kernel, signature, constants, chip="mtia300").program)
    text = program.disassemble()
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("MTIA_SIM_REFRESH_GOLDEN") == "1":
        path.write_text(text)
    assert text == path.read_text(), f"{name} compiles to other instructions; MTIA_SIM_REFRESH_GOLDEN=1 accepts them"


def test_the_order_of_a_dictionary_decides_nothing():
    """Two compilations of one kernel give the same bytes."""
    kernel, signature, constants = CASES["matmul"]
    first = compile_launch(kernel, signature, constants, chip="mtia300").program
    os.environ["TRITON_ALWAYS_COMPILE"] = "1"
    try:
        assert compile_launch(kernel, signature, constants, chip="mtia300").program == first
    finally:
        del os.environ["TRITON_ALWAYS_COMPILE"]


@pytest.mark.parametrize("name", CASES)
def test_decode_is_the_inverse_of_encode(name):
    kernel, signature, constants = CASES[name]
    data = compile_launch(kernel, signature, constants, chip="mtia300").program
    assert TileProgram.decode(data).encode() == data


def test_equal_kernels_of_two_files_keep_their_own_source_lines(tmp_path):
    """Triton's cache key leaves the file out; a fault has to name the file whose kernel was launched."""
    text = "import triton\nimport triton.language as tl\n\n\n@triton.jit\ndef one(x):\n    tl.store(x, 1.0)\n"
    for folder in ("first", "second"):
        path = tmp_path / folder / "kernel.py"
        path.parent.mkdir()
        path.write_text(text)
        specification = importlib.util.spec_from_file_location(f"{folder}_kernel", path)
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        program = compile_launch(module.one, {"x": P}, {}, chip="mtia300").program
        assert str(path).encode() in program
