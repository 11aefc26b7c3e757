"""Kernels as in Triton's tutorials, launched from Python on device tensors, against CPU torch in float64."""

import pytest
import torch
import triton

from . import triton_kernels as kernels


def normal(device: torch.device, *shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype).to(device)


def poisoned(like: torch.Tensor) -> torch.Tensor:
    return torch.full_like(like, float("nan"))


def relative_error(got: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((got.cpu().double() - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("count", [1, 98432, 5000])
def test_vector_addition(device: torch.device, count: int) -> None:
    first, second = normal(device, count), normal(device, count, seed=1)
    out = poisoned(first)
    kernels.add_vectors[lambda meta: (triton.cdiv(count, meta["BLOCK"]),)](first, second, out, count, BLOCK=1024)
    assert torch.equal(out.cpu(), first.cpu() + second.cpu())


def test_persistent_softmax_sized_by_the_device(device: torch.device) -> None:
    """The tutorial asks the driver for its multiprocessors, registers and shared memory to size its grid."""
    x = normal(device, 223, 781)
    out = poisoned(x)
    block = triton.next_power_of_2(x.shape[1])
    driver = triton.runtime.driver.active
    assert driver.get_active_torch_device().type == device.type
    properties = driver.utils.get_device_properties(0)
    kernel = kernels.softmax_rows.warmup(
        out, x, x.stride(0), out.stride(0), *x.shape, BLOCK=block, num_stages=2, num_warps=8, grid=(1,)
    )
    kernel._init_handles()
    occupancy = properties["max_num_regs"] // (kernel.n_regs * properties["warpSize"] * 8)
    occupancy = max(1, min(occupancy, properties["max_shared_mem"] // kernel.metadata.shared))
    programs = min(properties["multiprocessor_count"] * occupancy, x.shape[0])
    kernel[(programs, 1, 1)](out, x, x.stride(0), out.stride(0), *x.shape, block, 2)
    assert relative_error(out, torch.softmax(x.cpu().double(), -1)) < 1e-6


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float16, 2e-3), (torch.bfloat16, 1e-2), (torch.float32, 1e-5)])
@pytest.mark.parametrize("activation", ["", "leaky_relu"])
def test_autotuned_matmul(device: torch.device, dtype: torch.dtype, bound: float, activation: str) -> None:
    a, b = normal(device, 130, 96, dtype=dtype), normal(device, 96, 70, dtype=dtype, seed=1)
    c = torch.full((130, 70), float("nan"), dtype=dtype, device=device)
    kernels.matmul[lambda meta: (triton.cdiv(130, meta["BLOCK_M"]) * triton.cdiv(70, meta["BLOCK_N"]),)](
        a, b, c, 130, 70, 96, *a.stride(), *b.stride(), *c.stride(), ACTIVATION=activation
    )
    wanted = a.cpu().double() @ b.cpu().double()
    if activation:
        wanted = torch.nn.functional.leaky_relu(wanted, 0.01)
    assert relative_error(c, wanted) < bound


def test_autotuner_drops_what_does_not_fit_local_memory(device: torch.device) -> None:
    test_autotuned_matmul(device, torch.float32, 1e-5, "")
    assert kernels.matmul.best_config.kwargs["BLOCK_M"] < 1024


def test_seeded_dropout(device: torch.device) -> None:
    x = normal(device, 10_000)
    outs = []
    for seed in (123, 123, 512):
        out = poisoned(x)
        kernels.dropout[(10,)](x, out, 10_000, 0.3, seed, BLOCK=1024)
        outs.append(out.cpu())
    assert torch.equal(outs[0], outs[1])
    assert not torch.equal(outs[0], outs[2])
    kept = outs[0] != 0
    assert abs(float(kept.float().mean()) - 0.7) < 0.02
    torch.testing.assert_close(outs[0][kept], x.cpu()[kept] / 0.7)


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.float16, 5e-3)])
def test_layer_norm_with_locked_weight_gradients(device: torch.device, dtype: torch.dtype, bound: float) -> None:
    rows, columns, groups = 37, 300, 8
    x, dy = normal(device, rows, columns, dtype=dtype), normal(device, rows, columns, dtype=dtype, seed=1)
    weight, bias = normal(device, columns, dtype=dtype, seed=2), normal(device, columns, dtype=dtype, seed=3)
    y, dx = poisoned(x), poisoned(x)
    means, deviations = torch.empty(rows, device=device), torch.empty(rows, device=device)
    kernels.layer_norm_forward[(rows,)](x, y, weight, bias, means, deviations, columns, columns, 1e-5, BLOCK=128)
    locks = torch.zeros(2 * groups, dtype=torch.int32, device=device)
    partial_dw, partial_db = (torch.full((groups, columns), float("nan"), device=device) for _ in range(2))
    kernels.layer_norm_backward[(rows,)](
        dx, dy, partial_dw, partial_db, x, weight, means, deviations, locks, columns, columns, GROUPS=groups, BLOCK=512
    )
    inputs = [tensor.cpu().double().requires_grad_() for tensor in (x, weight, bias)]
    wanted = torch.nn.functional.layer_norm(inputs[0], (columns,), *inputs[1:])
    gradients = torch.autograd.grad(wanted, inputs, dy.cpu().double())
    assert relative_error(y, wanted.detach()) < bound
    for got, gradient in zip((dx, partial_dw.sum(0), partial_db.sum(0)), gradients, strict=True):
        assert relative_error(got, gradient) < bound


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.float16, 2e-3), (torch.bfloat16, 1e-2)])
def test_causal_attention_with_descriptors(device: torch.device, dtype: torch.dtype, bound: float) -> None:
    heads, length, width = 3, 256, 64
    q, k, v = (normal(device, heads, length, width, dtype=dtype, seed=seed) for seed in range(3))
    out, logsumexp = poisoned(q), torch.empty(heads, length, device=device)
    grid = (length // 64, heads)
    kernels.causal_attention[grid](q, k, v, out, logsumexp, 0.125, heads, length, D=width, M=64, N=32)
    q64, k64, v64 = (tensor.cpu().double() for tensor in (q, k, v))
    wanted = torch.nn.functional.scaled_dot_product_attention(q64, k64, v64, is_causal=True)
    assert relative_error(out, wanted) < bound


def test_block_pointers(device: torch.device) -> None:
    x = normal(device, 45, 70)
    out = torch.full((70, 45), float("nan"), device=device)
    kernels.block_pointer_transpose[(2, 3)](x, out, 45, 70, BLOCK=32)
    assert torch.equal(out.cpu(), x.cpu().t())


@pytest.mark.parametrize("programs", [1, 2, 64])
def test_programs_that_wait_for_later_ones(device: torch.device, programs: int) -> None:
    out = torch.full((programs,), -1, dtype=torch.int32, device=device)
    locks = torch.zeros(programs, dtype=torch.int32, device=device)
    kernels.wait_for_the_next[(programs,)](out, locks, programs, -1)
    assert out.cpu().tolist() == [sum(range(first, programs)) for first in range(programs)]


@pytest.mark.finds
def test_the_fault_of_a_program_that_others_wait_for(device: torch.device) -> None:
    out, locks = (torch.zeros(8, dtype=torch.int32, device=device) for _ in range(2))
    kernels.wait_for_the_next[(8,)](out, locks, 8, 5)
    with pytest.raises(RuntimeError, match=r"program \(5, 0, 0\)"):
        torch.mtia_sim.synchronize()
    assert torch.ones(3, device=device).sum().item() == 3
