"""Kernels that make values from indices: dropout, arange, linspace, tril, triu."""

import pytest
import torch

from tests.kernels import harness


@pytest.mark.parametrize("dtype", harness.FLOAT_DTYPES)
def test_dropout(dtype):
    x = torch.randn(10_001).to(dtype)
    results = []
    for chip, seed in (("mtia300", 3), ("mtia1", 3), ("mtia300", 4)):
        out, mask = harness.poisoned(x.shape, dtype), harness.poisoned(x.shape, torch.bool)
        harness.execute(
            "dropout_forward", [out, mask, x.to(harness.DEVICE)], [x.numel()], [0.3, 1 / 0.7, seed, 9], chip
        )
        mask = mask.cpu()
        harness.assert_close(out, torch.where(mask, x.double() / 0.7, 0.0))
        assert abs(float(mask.double().mean()) - 0.7) < 0.02
        results.append(mask)
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    # Neighbours are independent: the share of equal neighbours is 0.7^2 + 0.3^2.
    for distance in (1, 512, 2048):
        same = (results[0][distance:] == results[0][:-distance]).double().mean()
        assert abs(float(same) - 0.58) < 0.03


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_dropout_of_nothing_and_everything(probability):
    x = torch.randn(100)
    out = harness.poisoned(x.shape, torch.float32)
    scale = 0.0 if probability == 1 else 1.0
    harness.execute("dropout_forward", [out, None, x.to(harness.DEVICE)], [100], [probability, scale, 1, 0])
    assert torch.equal(out.cpu(), x * scale)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.float32, torch.float16, torch.float64])
@pytest.mark.parametrize(("start", "end", "step"), [(0, 1, 1), (3, 5000, 2), (10, -7, -3)])
def test_arange(start, end, step, dtype):
    expected = torch.arange(start, end, step, dtype=dtype)
    out = harness.poisoned(expected.shape, dtype)
    harness.execute("arange", [out], [expected.numel()], [start, step])
    harness.assert_close(out, expected)


@pytest.mark.parametrize("steps", [1, 2, 7, 5000])
def test_linspace(steps):
    expected = torch.linspace(-2, 3, steps, dtype=torch.float64)
    out = harness.poisoned((steps,), torch.float32)
    harness.execute("linspace", [out], [steps], [-2.0, 3.0, 5 / max(steps - 1, 1)])
    if steps > 1:
        harness.assert_close(out, expected)
    else:
        assert float(out.cpu()) in (-2.0, 3.0)


@pytest.mark.parametrize("diagonal", [-300, -2, 0, 3, 300])
@pytest.mark.parametrize("shape", [(1, 1), (3, 20, 33), (130, 70)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.bool])
def test_triangles(shape, diagonal, dtype):
    x = (torch.randn(shape) * 4).to(dtype)
    x[..., 0, 0] = float("nan") if dtype == torch.float32 else 1
    on_device = x.to(harness.DEVICE)
    for tensor, source in ((x, on_device), (x.transpose(-1, -2), on_device.transpose(-1, -2))):
        for name, function in (("tril", torch.tril), ("triu", torch.triu)):
            out = harness.poisoned(tensor.shape, dtype)
            strides = tensor.stride() if tensor.dim() == 3 else (0, *tensor.stride())
            batches = tensor.shape[0] if tensor.dim() == 3 else 1
            sizes = [batches, *tensor.shape[-2:], diagonal, *strides]
            harness.execute(name, [out, source], sizes)
            expected = function(tensor, diagonal)
            assert torch.equal(
                out.cpu().nan_to_num(7) if dtype.is_floating_point else out.cpu(), expected.nan_to_num(7)
            )
