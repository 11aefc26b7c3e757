"""torch.autocast("mtia_sim"): which dtype each kind of operator computes in, and nesting."""

import re
from pathlib import Path

import pytest
import torch


def tensor(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape).to("mtia_sim", dtype)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_matrix_products_compute_in_the_lower_precision(dtype: torch.dtype) -> None:
    a, b = tensor(8, 16), tensor(16, 4)
    with torch.autocast("mtia_sim", dtype=dtype):
        assert (a @ b).dtype == dtype
        assert torch.nn.functional.linear(a, b.t()).dtype == dtype
        assert torch.addmm(tensor(4), a, b).dtype == dtype
        assert torch.bmm(a[None], b[None]).dtype == dtype
        assert torch.einsum("ij,jk->ik", a, b).dtype == dtype
    assert (a @ b).dtype == torch.float32


def test_delicate_operators_compute_in_float32() -> None:
    half = tensor(4, 8, dtype=torch.bfloat16).abs() + 1
    with torch.autocast("mtia_sim", dtype=torch.bfloat16):
        for function in (torch.exp, torch.log, torch.rsqrt, torch.reciprocal):
            assert function(half).dtype == torch.float32
        assert half.pow(2).dtype == torch.float32
        assert torch.nn.functional.mse_loss(half, half).dtype == torch.float32
        assert torch.nn.functional.layer_norm(half, (8,)).dtype == torch.float32


def test_sums_and_softmax_return_float32_unless_told_otherwise() -> None:
    half = tensor(4, 8, dtype=torch.bfloat16)
    with torch.autocast("mtia_sim", dtype=torch.bfloat16):
        assert half.sum().dtype == torch.float32
        assert half.sum(dim=1).dtype == torch.float32
        assert torch.softmax(half, -1).dtype == torch.float32
        assert torch.log_softmax(half, -1).dtype == torch.float32
        assert torch.softmax(half, -1, dtype=torch.bfloat16).dtype == torch.bfloat16
        assert tensor(4, dtype=torch.float32).to(torch.int64).sum().dtype == torch.int64


def test_mixed_inputs_are_promoted() -> None:
    half, full = tensor(4, 8, dtype=torch.bfloat16), tensor(4, 8)
    with torch.autocast("mtia_sim", dtype=torch.bfloat16):
        assert torch.addcmul(full, half, half).dtype == torch.float32
        assert torch.addcmul(half, half, half).dtype == torch.bfloat16
        assert (half + full).dtype == torch.float32


def test_float64_and_other_devices_are_left_alone() -> None:
    double = tensor(4, 4, dtype=torch.float64)
    with torch.autocast("mtia_sim", dtype=torch.bfloat16):
        assert torch.exp(double).dtype == torch.float64
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_nesting() -> None:
    a = tensor(4, 4)
    with torch.autocast("mtia_sim", dtype=torch.bfloat16):
        with torch.autocast("mtia_sim", enabled=False):
            assert (a @ a).dtype == torch.float32
        with torch.autocast("mtia_sim", dtype=torch.float16):
            assert (a @ a).dtype == torch.float16
        assert (a @ a).dtype == torch.bfloat16


def test_bare_autocast_is_enabled() -> None:
    with torch.autocast("mtia_sim"):
        assert torch.is_autocast_enabled("mtia_sim")
        assert (tensor(2, 2) @ tensor(2, 2)).dtype in (torch.float16, torch.bfloat16)


def test_an_unsupported_dtype_warns_and_disables() -> None:
    with pytest.warns(UserWarning), torch.autocast("mtia_sim", dtype=torch.float64):
        assert not torch.is_autocast_enabled("mtia_sim")


def test_gradients_arrive_in_the_parameters_dtype() -> None:
    weight = torch.randn(4, 8)
    values = torch.randn(2, 8)
    results = []
    for device in ("mtia_sim", "cpu"):
        parameter = weight.to(device).requires_grad_()
        with torch.autocast(device, dtype=torch.bfloat16):
            loss = torch.nn.functional.linear(values.to(device), parameter).float().pow(2).sum()
        loss.backward()
        assert parameter.grad is not None and parameter.grad.dtype == torch.float32
        results.append(parameter.grad.cpu())
    assert (results[0] - results[1]).norm() <= 0.02 * results[1].norm()


def test_binary_cross_entropy_is_refused() -> None:
    with (
        torch.autocast("mtia_sim", dtype=torch.bfloat16),
        pytest.raises(NotImplementedError, match="binary_cross_entropy_with_logits"),
    ):
        torch.nn.functional.binary_cross_entropy(tensor(3).sigmoid(), tensor(3).sigmoid())


def test_the_list_names_only_operators_that_exist() -> None:
    """Registration on a name without a schema would go unnoticed."""
    assert torch._C._dispatch_has_kernel_for_dispatch_key("aten::mm", "AutocastPrivateUse1")
    dangling = torch._C._dispatch_find_dangling_impls()
    assert not [text for text in dangling if "AutocastPrivateUse1" in text]


def test_decorators_of_autograd_functions() -> None:
    class Doubled(torch.autograd.Function):
        @staticmethod
        @torch.mtia_sim.amp.custom_fwd(cast_inputs=torch.float32)
        def forward(ctx: torch.autograd.function.FunctionCtx, x: torch.Tensor) -> torch.Tensor:
            assert x.dtype is torch.float32 and not torch.is_autocast_enabled("mtia_sim")
            return x * 2

        @staticmethod
        @torch.mtia_sim.amp.custom_bwd
        def backward(ctx: torch.autograd.function.FunctionCtx, grad: torch.Tensor) -> torch.Tensor:
            return grad * 2

    x = tensor(3).to(torch.bfloat16).requires_grad_()
    with torch.autocast("mtia_sim", dtype=torch.bfloat16):
        Doubled.apply(x).sum().backward()
    assert x.grad is not None and x.grad.cpu().tolist() == [2, 2, 2]


def test_the_lists_are_those_of_cuda() -> None:
    """Each operator of torch's header is cast as the header's list says."""
    header = (Path(torch.__file__).parent / "include/ATen/autocast_mode.h").read_text()
    rows = {
        "AT_FORALL_LOWER_PRECISION_FP": "lower_precision_operators",
        "AT_FORALL_FP32": "float32_operators",
        "AT_FORALL_FP32_SET_OPT_DTYPE": "float32_result_operators",
        "AT_FORALL_PROMOTE": "promoting_operators",
    }
    source = (Path(__file__).parents[2] / "csrc/torch_backend/autocast.cpp").read_text()
    for macro, ours in rows.items():
        body = re.search(rf"#define {macro}\(.*?\n\n", header, re.DOTALL)
        table = re.search(rf"{ours}\[\] = \{{(.*?)\}};", source, re.DOTALL)
        assert body is not None and table is not None
        entries = [entry.split(",") for entry in re.findall(r" _\(([^()]*?)\)", body[0].replace("\\\n", " "))]
        named = {".".join(part.strip() for part in entry[:2]) for entry in entries}
        assert named and named <= set(re.findall(r'"([^"]+)"', table[1]))
