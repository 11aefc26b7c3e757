"""What the lowering makes one instruction of."""

import pytest
import triton
import triton.language as tl

from mtia_core.program import TileProgram
from triton_mtia_sim.launch import compile_launch


@triton.jit
def gated(x, out, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    values = tl.load(x + offsets)
    tl.store(out + offsets, values * tl.sigmoid(values))


@triton.jit
def nearly(x, out, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    values = tl.load(x + offsets)
    tl.store(out + offsets, 1.0 / (1.0 + tl.exp(1.0 - values)) + 1.0 / (2.0 + tl.exp(-values)))


def mnemonics(kernel: object, pointer: str) -> list[str]:
    signature = {"x": pointer, "out": pointer}
    program = TileProgram.decode(compile_launch(kernel, signature, {"BLOCK": 64}, chip="mtia300").program)
    return [instruction.mnemonic for instruction in program.instructions]


@pytest.mark.parametrize("pointer", ["*fp32", "*fp64"])
def test_a_sigmoid_is_one_instruction(pointer):
    """The SIMD engine has a table for it; a division on the vector core costs eight passes."""
    assert mnemonics(gated, pointer) == ["dma_load", "sigmoid", "mul_f", "dma_store"]


def test_what_only_looks_like_one_is_divided():
    names = mnemonics(nearly, "*fp32")
    assert "sigmoid" not in names
    assert names.count("div_f") == 2
