"""Runs a kernel in whole tiles and in strips on the device, and compares the bits."""

import itertools

import numpy as np
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from mtia_core import chips
from triton_mtia_sim.explain.explaining import generic_ttir
from triton_mtia_sim.strips.splitting import Strips
from triton_mtia_sim.translate import translate

TYPES = {
    torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.float16: "*fp16", torch.int32: "*i32", torch.int64: "*i64",
}  # fmt: skip
WAYS = [Strips(count, reload, least=16) for count, reload in itertools.product((2, 4, 8), (False, True))]


def text_of(kernel, tensors, numbers, constants):
    types = {name: TYPES[tensor.dtype] for name, tensor in tensors.items()} | dict.fromkeys(numbers, "i32")
    types |= dict.fromkeys(constants, "constexpr")
    source = ASTSource(kernel, {name: types[name] for name in kernel.arg_names}, constants, None)
    return generic_ttir(triton.compile(source, target=GPUTarget("mtia_sim", "mtia300", 1)))


def run(kernel, tensors, numbers, constants, strips, programs=1):
    """All tensors after a launch of the kernel in strips, None for whole tiles."""
    from mtia_sim import _C

    torch.mtia_sim.init()
    program = translate(text_of(kernel, tensors, numbers, constants), chips.load("mtia300"), strips=strips)
    placed = {name: tensor.to("mtia_sim") for name, tensor in tensors.items()}
    passed = {name: tensor.data_ptr() for name, tensor in placed.items()} | numbers
    arguments = [passed[name] for name in kernel.arg_names if name in passed]
    _C.run_program(_C.load_program(program.encode()), (programs, 1, 1), arguments)
    torch.mtia_sim.synchronize()
    return {name: tensor.cpu() for name, tensor in placed.items()}, program


def same_bits(a, b):
    return np.array_equal(a.contiguous().view(torch.uint8).numpy(), b.contiguous().view(torch.uint8).numpy())


def compare(kernel, tensors, numbers, constants, programs=1, ways=WAYS):
    whole, uncut = run(kernel, tensors, numbers, constants, None, programs)
    for strips in ways:
        cut, program = run(kernel, tensors, numbers, constants, strips, programs)
        assert len(program.instructions) > len(uncut.instructions), f"{strips} cut nothing"
        for name in tensors:
            assert same_bits(whole[name], cut[name]), f"{strips}: {name} differs"
    return whole
