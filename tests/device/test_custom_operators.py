"""Operators of the user's own by torch.library: in Python, Triton and C++; traced, exported and compiled ones."""

import shutil
from pathlib import Path

import pytest
import torch
import triton
import triton.language as tl
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.library import custom_op, opcheck, triton_op, wrap_triton

DEVICE = "mtia_sim"
TESTS = ("test_schema", "test_faketensor", "test_aot_dispatch_dynamic")


@triton.jit
def add_kernel(x, y, out, count, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < count
    tl.store(out + offsets, tl.load(x + offsets, mask=mask, other=0) + tl.load(y + offsets, mask=mask, other=0), mask)


@triton_op("mtia_sim_tests::triton_add", mutates_args={})
def triton_add(x: Tensor, y: Tensor) -> Tensor:
    out = torch.empty_like(x)
    wrap_triton(add_kernel)[(triton.cdiv(out.numel(), 128),)](x, y, out, out.numel(), 128)
    return out


triton_add.register_autograd(lambda context, grad: (grad, grad))


@custom_op("mtia_sim_tests::sine", mutates_args=(), device_types=DEVICE)
def sine(x: Tensor) -> Tensor:
    return x.sin()


@sine.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


sine.register_autograd(
    lambda context, grad: grad * context.saved_tensors[0].cos(),
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
)


def test_triton() -> None:
    x = torch.randn(300, device=DEVICE, requires_grad=True)
    y = triton_add(x, x)
    y.sum().backward()
    assert torch.equal(y, x + x) and x.grad is not None and (x.grad == 2).all()
    opcheck(triton_add, (torch.randn(300, device=DEVICE), torch.randn(300, device=DEVICE)), test_utils=TESTS)
    with pytest.raises(NotImplementedError):
        sine(torch.ones(2))


@pytest.mark.slow
def test_triton_in_a_compiled_function() -> None:
    x = torch.randn(300, device=DEVICE)
    torch.testing.assert_close(torch.compile(lambda x: triton_add(x, x).sin())(x), (x + x).sin())


def test_python() -> None:
    x = torch.randn(5, device=DEVICE, requires_grad=True)
    sine(x).sum().backward()
    torch.testing.assert_close(x.grad, x.detach().cos())
    opcheck(sine, (torch.randn(5, device=DEVICE, requires_grad=True),), test_utils=TESTS)


def test_library_and_meta() -> None:
    library = torch.library.Library("mtia_sim_more_tests", "DEF")
    library.define("twice(Tensor x) -> Tensor")
    library.impl("twice", lambda x: x * 2, "PrivateUse1")
    library.impl("twice", lambda x: torch.empty_like(x), "Meta")
    twice = torch.ops.mtia_sim_more_tests.twice
    assert twice(torch.ones(2, device=DEVICE)).tolist() == [2, 2]
    traced = make_fx(lambda x: twice(x.sin()), tracing_mode="symbolic")(torch.ones(3, device=DEVICE))
    assert traced(torch.zeros(4, device=DEVICE)).tolist() == [0] * 4


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ninja") is None or shutil.which("c++") is None, reason="needs ninja and a compiler")
def test_cpp(tmp_path: Path) -> None:
    from torch.utils.cpp_extension import load_inline

    source = """
        #include <ATen/core/Tensor.h>
        #include <ATen/ops/add.h>
        #include <torch/library.h>
        at::Tensor doubled(const at::Tensor& x) { return at::add(x, x); }
        TORCH_LIBRARY(mtia_sim_cpp_tests, library) { library.def("doubled(Tensor x) -> Tensor"); }
        TORCH_LIBRARY_IMPL(mtia_sim_cpp_tests, PrivateUse1, library) { library.impl("doubled", &doubled); }
    """
    load_inline("mtia_sim_cpp_tests", source, is_python_module=False, build_directory=str(tmp_path))
    assert torch.ops.mtia_sim_cpp_tests.doubled(torch.ones(2, device=DEVICE)).tolist() == [2, 2]


def test_exported_and_traced_modules() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).to(DEVICE)
    x = torch.randn(3, 4, device=DEVICE)
    expected = model(x)
    exported = torch.export.export(model, (x,)).module()
    for other in (exported, torch.jit.trace(model, x), torch.jit.script(model)):
        torch.testing.assert_close(other(x), expected)
