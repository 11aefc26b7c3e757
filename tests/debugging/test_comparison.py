"""Operators beside a float64 reference: a kernel that accumulates in bfloat16 ranks first."""

import inspect
from typing import Any

import pytest
import torch
import triton
import triton.language as tl


@triton.jit
def sum_of_rows(out, source, columns, BLOCK: tl.constexpr, NARROW: tl.constexpr):
    row = tl.program_id(0)
    total = tl.zeros((BLOCK,), tl.bfloat16 if NARROW else tl.float32)
    for start in range(0, columns, BLOCK):
        values = tl.load(source + row * columns + start + tl.arange(0, BLOCK))
        total = (total + values).to(total.dtype)
    tl.store(out + row, tl.sum(total.to(tl.float32), 0))


class RowSum(torch.autograd.Function):
    """A sum along the last dimension by the kernel above."""

    @staticmethod
    def forward(context: Any, source: torch.Tensor, narrow: bool) -> torch.Tensor:
        context.columns = source.shape[1]
        out = torch.empty(source.shape[0], device=source.device)
        sum_of_rows[(source.shape[0],)](out, source, source.shape[1], BLOCK=64, NARROW=narrow)
        return out

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient[:, None].expand(-1, context.columns), None


@pytest.mark.parametrize("narrow", [True, False])
def test_a_kernel_that_accumulates_in_bfloat16_ranks_first(device: torch.device, narrow: bool) -> None:
    torch.manual_seed(0)
    weight = torch.rand(128, 256).to(device).requires_grad_()
    inputs = torch.rand(48, 128).to(device)
    with torch.mtia_sim.numerics(compare="float64") as comparison:
        loss = RowSum.apply(torch.nn.functional.silu(inputs @ weight), narrow).square().mean()
        loss.backward()
    rows = {row.name: row for row in comparison.rows}
    assert {"aten::mm", "aten::silu", "sum_of_rows"} <= rows.keys()
    kernel = rows["sum_of_rows"]
    assert kernel.kind == "kernel" and kernel.calls == 1 and "test_comparison.py" in kernel.line
    if narrow:
        assert comparison.rows[0].name == "sum_of_rows"
        assert 1e-4 < kernel.mean < 0.1 and kernel.ulps > 1000
        assert "sum_of_rows" in str(comparison).splitlines()[1]
    else:
        assert kernel.mean < 1e-6
    products = [row for row in comparison.rows if row.name == "aten::mm"]
    assert all("test_comparison.py" in row.line for row in products)  # that of the backward pass too
    assert sum(row.calls for row in products) == 2 and all(0 < row.worst < 1e-5 for row in products)
    assert not any(row.skipped for row in comparison.rows)
    # What the chip computes is what it computes alone.
    plain = weight.detach().clone().requires_grad_()
    RowSum.apply(torch.nn.functional.silu(inputs @ plain), narrow).square().mean().backward()
    assert torch.equal(plain.grad.cpu(), weight.grad.cpu())


def test_the_line_of_a_backward_pass_is_its_forward_operators(device: torch.device) -> None:
    weight = torch.rand(16, 16).to(device).requires_grad_()
    with torch.mtia_sim.numerics(compare="float64") as comparison:
        with torch.no_grad():
            torch.exp(weight)
        torch.exp(weight.detach())
        loss = (weight @ weight.detach()).sum()
        loss.backward()
    forward = inspect.currentframe().f_lineno - 2  # type: ignore[union-attr]
    products = [row.line for row in comparison.rows if row.name == "aten::mm"]
    assert products and all(f"test_comparison.py:{forward}" in line for line in products), products


def test_the_error_is_the_rounding_of_the_dtype(device: torch.device) -> None:
    values = torch.randn(1000).to(device)
    with torch.mtia_sim.numerics(compare="float64") as comparison:
        values.to(torch.bfloat16) * 1.7
        torch.exp(values)
    rows = {row.name: row for row in comparison.rows}
    assert 2**-12 < rows["aten::mul"].mean < 2**-8 and rows["aten::mul"].ulps <= 0.51
    assert rows["aten::mul"].dtypes == ("bfloat16",) and rows["aten::mul"].shapes == ((1000,),)
    assert 0 < rows["aten::exp"].ulps <= 1.0


def test_attention_and_a_fused_optimizer_have_references(device: torch.device) -> None:
    torch.manual_seed(1)
    query = torch.randn(1, 4, 32, 16, device=device, requires_grad=True)
    key = torch.randn(1, 2, 32, 16, device=device, requires_grad=True)
    optimizer = torch.optim.AdamW([query, key], lr=1e-3)
    with torch.mtia_sim.numerics(compare="float64") as comparison:
        out = torch.nn.functional.scaled_dot_product_attention(query, key, key, is_causal=True, enable_gqa=True)
        out.square().sum().backward()
        optimizer.step()
    rows = {row.name: row for row in comparison.rows}
    attention = [row for name, row in rows.items() if "attention" in name]
    assert len(attention) == 2 and all(0 < row.worst < 1e-5 and not row.skipped for row in attention)
    assert all(row.worst < 1e-4 for row in comparison.rows), str(comparison)


@triton.jit
def looks_at_bits(out, source, BLOCK: tl.constexpr):
    place = tl.arange(0, BLOCK)
    values = tl.load(source + place)
    tl.store(out + place, (values.to(tl.int32, bitcast=True) & -65536).to(tl.float32, bitcast=True) * 2)


def test_a_kernel_that_looks_at_bits_is_not_compared(device: torch.device) -> None:
    source, out = torch.randn(64).to(device), torch.empty(64, device=device)
    with torch.mtia_sim.numerics(compare="float64") as comparison:
        looks_at_bits[(1,)](out, source, BLOCK=64)
    [row] = comparison.rows
    assert row.name == "looks_at_bits" and "bits" in row.skipped and "not compared" in str(comparison)
