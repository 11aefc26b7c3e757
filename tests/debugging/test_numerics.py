"""The finder of NaNs and infinities: faults that are put into kernels and operators, and what is nobody's fault."""

import inspect
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import triton
import triton.language as tl

from mtia_core.errors import InvalidArgument, NonFinite


def line_of(function: Any, text: str) -> int:
    lines, first = inspect.getsourcelines(getattr(function, "fn", function))
    return first + next(number for number, line in enumerate(lines) if text in line)


@triton.jit
def unsafe_softmax(out, source, columns, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    place = tl.arange(0, BLOCK)
    scores = tl.load(source + row * columns + place, mask=place < columns, other=-float("inf"))
    weights = tl.exp(scores)
    total = tl.sum(weights, 0)
    tl.store(out + row * columns + place, weights / total, mask=place < columns)


@triton.jit
def masked_softmax(out, source, columns, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    place = tl.arange(0, BLOCK)
    scores = tl.load(source + row * columns + place, mask=place < columns, other=-float("inf"))
    scores = tl.where(place % 3 == 1, -float("inf"), scores)
    weights = tl.exp(scores - tl.max(scores, 0))
    tl.store(out + row * columns + place, weights / tl.sum(weights, 0), mask=place < columns)


@triton.jit
def discarded_nan(out, source, BLOCK: tl.constexpr):
    place = tl.arange(0, BLOCK)
    values = tl.load(source + place)
    roots = tl.sqrt(values)
    tl.store(out + place, tl.where(values < 0, 0.0, roots))


@triton.jit
def nan_in_a_product(out, a, b, N: tl.constexpr):
    place = tl.arange(0, N)[:, None] * N + tl.arange(0, N)[None, :]
    left = tl.load(a + place)
    right = tl.load(b + place)
    product = tl.dot(left, right)
    tl.store(out + place, product.to(tl.float16))


def test_an_exp_that_overflows_is_named_with_line_index_and_input(device: torch.device) -> None:
    values = torch.randn(8, 100)
    values[5, 37] = 150.0
    source = values.to(device)
    out = torch.full((8, 100), 7.0, device=device)
    with pytest.raises(NonFinite) as caught, torch.mtia_sim.numerics() as found:
        unsafe_softmax[(8,)](out, source, 100, BLOCK=128)
    [finding] = found.findings
    assert finding.kernel == "unsafe_softmax" and finding.program == (5, 0, 0)
    assert finding.line == line_of(unsafe_softmax, "weights = tl.exp(scores)")
    assert finding.file.endswith("test_numerics.py") and "exp" in finding.disassembly
    assert finding.index == (37,) and finding.value == math.inf
    assert (finding.result, finding.result_type) == ("weights", "128xf32")
    assert any(value > 100 for item in finding.inputs for value in item.values)
    assert "test_numerics.py" in finding.launched_by
    for part in ("unsafe_softmax", "program (5, 0, 0)", f"test_numerics.py:{finding.line}", "[37]", "weights"):
        assert part in str(caught.value)


def test_the_device_works_on_and_the_results_are_those_of_an_ordinary_launch(device: torch.device) -> None:
    values = torch.randn(8, 100)
    values[2, 3] = 200.0
    source = values.to(device)
    plain, watched = torch.empty(8, 100, device=device), torch.empty(8, 100, device=device)
    unsafe_softmax[(8,)](plain, source, 100, BLOCK=128)
    with torch.mtia_sim.numerics(action="collect") as found:
        unsafe_softmax[(8,)](watched, source, 100, BLOCK=128)
        unsafe_softmax[(8,)](watched, source, 100, BLOCK=128)
    assert len(found.findings) == 2  # the second launch writes the same values over the first one's
    np.testing.assert_array_equal(plain.cpu().numpy(), watched.cpu().numpy())
    assert "2 with new NaNs or infinities" in str(found) and "unsafe_softmax" in str(found)


def test_masks_of_minus_infinity_are_nobodys_fault(device: torch.device) -> None:
    source = torch.randn(16, 100).to(device)
    out = torch.empty(16, 100, device=device)
    query = torch.randn(2, 4, 33, 16, device=device)
    with torch.mtia_sim.numerics() as found:
        masked_softmax[(16,)](out, source, 100, BLOCK=128)
        scores = query @ query.transpose(-1, -2)
        mask = torch.full((33, 33), -math.inf, device=device).triu(1)
        (scores + mask).softmax(-1)
        scores.masked_fill(mask < 0, -math.inf).softmax(-1)
        torch.nn.functional.scaled_dot_product_attention(query, query, query, is_causal=True)
        torch.tensor([1.0, math.nan, math.inf]).to(device) + 1
    assert found.findings == []
    assert found.launches[0] >= 5


def test_a_nan_that_is_selected_away_is_nobodys_fault(device: torch.device) -> None:
    source = torch.randn(256).to(device)
    out = torch.empty(256, device=device)
    with torch.mtia_sim.numerics() as found:
        discarded_nan[(1,)](out, source, BLOCK=256)
    assert found.findings == []


def test_an_operator_is_named_with_the_line_that_calls_it(device: torch.device) -> None:
    values = torch.rand(1000) + 0.5
    values[123] = 0.0
    source = values.to(device)
    with torch.mtia_sim.numerics(action="collect") as found:
        logarithms = torch.log(source)
    [finding] = found.findings
    line = inspect.currentframe().f_lineno - 2  # type: ignore[union-attr]
    assert finding.launched_by == f"aten::log at test_numerics.py:{line}"
    assert finding.value == -math.inf and 0.0 in finding.inputs[0].values
    assert torch.isinf(logarithms.cpu()).sum() == 1


def test_only_nans_on_request(device: torch.device) -> None:
    source = torch.tensor([4.0, 0.0, -1.0]).to(device)
    with torch.mtia_sim.numerics(infinities=False, action="collect") as found:
        torch.log(source[:2])
        torch.sqrt(source)
    assert [math.isnan(finding.value) for finding in found.findings] == [True]
    assert found.findings[0].launched_by.startswith("aten::sqrt")


def test_a_backward_pass_names_its_node_and_the_forward_line(device: torch.device) -> None:
    weight = torch.tensor([1.0, 0.0, 4.0], requires_grad=True, device=device)
    loss = weight.sqrt().sum()
    with torch.mtia_sim.numerics(action="collect") as found:
        loss = weight.sqrt().sum()
        loss.backward()
    line = inspect.currentframe().f_lineno - 2  # type: ignore[union-attr]
    assert found.findings, str(found)
    assert "SqrtBackward0" in found.findings[0].launched_by
    assert f"test_numerics.py:{line}" in found.findings[0].launched_by


def test_a_product_that_overflows_in_half_precision(device: torch.device) -> None:
    a, b = torch.randn(32, 32).half(), torch.randn(32, 32).half()
    a[3], b[:, 9] = 200.0, 200.0
    out = torch.empty(32, 32, device=device, dtype=torch.float16)
    left, right = a.to(device), b.to(device)
    with torch.mtia_sim.numerics(action="collect") as found:
        nan_in_a_product[(1,)](out, left, right, N=32)
        left @ right
    triton_finding, operator_finding = found.findings
    assert triton_finding.line == line_of(nan_in_a_product, "product.to(tl.float16)")
    assert triton_finding.index == (3, 9) and triton_finding.inputs[0].values == (32 * 200.0 * 200.0,)
    assert triton_finding.inputs[0].name == "product"
    assert operator_finding.kernel == "gemm" and operator_finding.program is None
    assert "aten::mm" in operator_finding.launched_by and operator_finding.value == math.inf
    assert 32 * 200.0 * 200.0 in operator_finding.inputs[0].values


ROLES = """
#include <mtia/kernel.h>
using namespace mtia;
struct Arguments { Tensor<const float, 2> a, b; Tensor<float, 2> c; };
MTIA_ARGUMENTS(Arguments, a, b, c);
void role(ProcessingElement& pe, const Arguments& arguments) {
  auto a = pe.allocate<Tile<float, 32, 32>>();
  auto b = pe.allocate<Tile<float, 32, 32>>();
  auto sum = pe.allocate<Accumulator<float, 32, 32>>();
  pe.load(a, arguments.a.at(0, 0));
  pe.load(b, arguments.b.at(0, 0));
  pe.dot(sum, a, b);
  pe.store(arguments.c.at(0, 0), sum);
}
MTIA_KERNEL(product, role);
"""


def test_a_product_in_a_kernel_of_roles(device: torch.device, tmp_path: Path) -> None:
    source = tmp_path / "product.cpp"
    source.write_text(ROLES)
    kernel = torch.mtia_sim.load_kernel(source)
    a, b, c = torch.full((32, 32), 3e38), torch.full((32, 32), 2.0), torch.zeros(32, 32, device=device)
    with torch.mtia_sim.numerics(action="collect") as found:
        kernel[1](a.to(device), b.to(device), c)
        b[3, 4] = math.nan  # comes from outside: nobody in the kernel made it
        kernel[1](torch.ones(32, 32, device=device), b.to(device), c)
    (finding,) = found.findings
    assert finding.value == math.inf and "dot of role role" in finding.disassembly
    assert finding.line == ROLES.splitlines().index("  pe.dot(sum, a, b);") + 1
    assert [entry.values for entry in finding.inputs] == [pytest.approx((3e38,) * 8), (2.0,) * 8]
    assert math.isnan(c.cpu()[0, 4].item())


def test_warnings_at_the_end(device: torch.device) -> None:
    source = torch.tensor([-1.0]).to(device)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with torch.mtia_sim.numerics(action="warn"):
            torch.sqrt(source)
    assert any("aten::sqrt" in str(item.message) for item in caught)


def test_contexts_nest_and_follow_each_other_but_not_inside_of_themselves(device: torch.device) -> None:
    source = torch.tensor([-1.0]).to(device)
    outer, inner = (torch.mtia_sim.numerics(action="collect") for _ in range(2))
    with outer:
        with pytest.raises(InvalidArgument, match="open already"), outer:
            pass
        with inner:
            torch.sqrt(source)
        torch.sqrt(source)
        torch.sqrt(source)
    torch.sqrt(source)
    assert (len(outer.findings), len(inner.findings)) == (2, 1)
    with inner:
        torch.sqrt(source)
    assert len(inner.findings) == 1  # those of the second time


def test_wrong_options_are_refused() -> None:
    with pytest.raises(ValueError, match="choose"):
        torch.mtia_sim.numerics(action="shout")
    with pytest.raises(ValueError, match="float64"):
        torch.mtia_sim.numerics(compare="float128")
