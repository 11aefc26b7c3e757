"""Cells of LSTM and GRU and weight normalisation as kernels, on the limits of every chip, against float64 formulas."""

import pytest
import torch
from torch import Tensor

from tests.kernels import harness

DTYPES = [*harness.FLOAT_DTYPES, torch.float64]
SHAPES = [(1, 1), (70, 33), (2, 2100)]


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(11)


def run(
    name: str, outputs: list[tuple[tuple[int, ...], torch.dtype]], inputs: list[Tensor | None], sizes: list[int]
) -> list[Tensor]:
    """The outputs of a kernel on the limits of the last chip; those on the other chips are the same to the bit."""
    results: list[Tensor] = []
    given = [None if each is None else each.to(harness.DEVICE) for each in inputs]
    for chip in harness.CHIPS:
        former, results = results, [harness.poisoned(*each) for each in outputs]
        harness.execute(name, [*results, *given], sizes, chip=chip)
        assert all(torch.equal(one.cpu(), other.cpu()) for one, other in zip(former, results, strict=False))
    return results


def lstm(gates: Tensor, cx: Tensor) -> tuple[Tensor, Tensor]:
    taken, kept, candidate, shown = gates.chunk(4, 1)
    cy = kept.sigmoid() * cx + taken.sigmoid() * candidate.tanh()
    return shown.sigmoid() * cy.tanh(), cy


def gru(igates: Tensor, hgates: Tensor, hx: Tensor) -> Tensor:
    (reset, update, new), (reset_too, update_too, new_too) = igates.chunk(3, 1), hgates.chunk(3, 1)
    update = (update + update_too).sigmoid()
    new = (new + (reset + reset_too).sigmoid() * new_too).tanh()
    return new + update * (hx - new)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("biased", [False, True])
def test_lstm_cell(shape: tuple[int, int], dtype: torch.dtype, biased: bool) -> None:
    rows, hidden = shape
    igates, hgates = (torch.randn(rows, 4 * hidden).to(dtype) for _ in range(2))
    cx = torch.randn(rows, hidden).to(dtype)
    biases = [torch.randn(4 * hidden).to(dtype) if biased else None for _ in range(2)]
    gates = sum((each.double() for each in (igates, hgates, *biases) if each is not None), torch.zeros(1))
    wide = [gates.requires_grad_(), cx.double().requires_grad_()]
    expected = lstm(*wide)
    wide_row = (rows, 4 * hidden)
    hy, cy, workspace = run(
        "lstm_cell_forward",
        [(shape, dtype), (shape, dtype), (wide_row, dtype)],
        [igates, hgates, cx, *biases],
        [*shape],
    )
    harness.assert_close(hy, expected[0], 2 * harness.BOUNDS[dtype])
    harness.assert_close(cy, expected[1], 2 * harness.BOUNDS[dtype])

    grads = [torch.randn(shape).to(dtype) for _ in range(2)]
    for given in ([True, True], [True, False], [False, True]):
        chosen = [grad if there else None for grad, there in zip(grads, given, strict=True)]
        kept = [(out, grad.double()) for out, grad in zip(expected, chosen, strict=True) if grad is not None]
        outs, along = zip(*kept, strict=True)
        wanted = torch.autograd.grad(outs, wide, along, retain_graph=True)
        inputs = [*chosen, cx, cy.cpu(), workspace.cpu()]
        grad_gates, grad_cx = run("lstm_cell_backward", [(wide_row, dtype), (shape, dtype)], inputs, [*shape])
        harness.assert_close(grad_gates, wanted[0], 8 * harness.BOUNDS[dtype])
        harness.assert_close(grad_cx, wanted[1], 8 * harness.BOUNDS[dtype])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("biased", [False, True])
def test_gru_cell(shape: tuple[int, int], dtype: torch.dtype, biased: bool) -> None:
    rows, hidden = shape
    gates = [torch.randn(rows, 3 * hidden).to(dtype) for _ in range(2)]
    hx = torch.randn(rows, hidden).to(dtype)
    biases = [torch.randn(3 * hidden).to(dtype) if biased else None for _ in range(2)]
    wide = [
        (gate.double() + (0 if bias is None else bias.double())).requires_grad_()
        for gate, bias in zip(gates, biases, strict=True)
    ]
    wide.append(hx.double().requires_grad_())
    expected = gru(*wide)
    outputs = [(shape, dtype), ((rows, 5 * hidden), dtype)]
    hy, workspace = run("gru_cell_forward", outputs, [*gates, hx, *biases], [*shape])
    harness.assert_close(hy, expected, 2 * harness.BOUNDS[dtype])
    grad = torch.randn(shape).to(dtype)
    wanted = torch.autograd.grad(expected, wide, grad.double())
    outputs = [((rows, 3 * hidden), dtype), ((rows, 3 * hidden), dtype), (shape, dtype)]
    for got, want in zip(run("gru_cell_backward", outputs, [grad, workspace.cpu()], [*shape]), wanted, strict=True):
        harness.assert_close(got, want, 8 * harness.BOUNDS[dtype])


@pytest.mark.parametrize("shape", [(3, 7), (130, 67), (2, 5001)])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("last", [False, True])
def test_weight_norm(shape: tuple[int, int], dtype: torch.dtype, last: bool) -> None:
    v = torch.randn(shape).to(dtype)
    slices, length = shape[::-1] if last else shape
    g, grad = torch.randn(slices).to(dtype), torch.randn(shape).to(dtype)
    wide = [v.double().requires_grad_(), g.double().requires_grad_()]
    norm = wide[0].norm(dim=0 if last else 1)
    expected = wide[0] * ((wide[1] / norm) if last else (wide[1] / norm)[:, None])
    sizes = [slices, length, *((1, slices) if last else (length, 1))]
    w, norms = run("weight_norm_forward", [(shape, dtype), ((slices,), harness.opmath(dtype))], [v, g], sizes)
    harness.assert_close(w, expected, 2 * harness.BOUNDS[dtype])
    harness.assert_close(norms, norm)
    outputs = [(shape, dtype), ((slices,), dtype)]
    found = run("weight_norm_backward", outputs, [grad, v, g, norms.cpu()], sizes)
    if length > 1:
        wanted = torch.autograd.grad(expected, wide, grad.double())
        for got, want in zip(found, wanted, strict=True):
            harness.assert_close(got, want, 8 * harness.BOUNDS[dtype])
