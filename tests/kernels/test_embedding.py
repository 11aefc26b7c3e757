"""Embedding rows and the dense gradient of the table against CPU torch."""

import pytest
import torch

from tests.kernels import harness


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64])
@pytest.mark.parametrize(("count", "rows", "length"), [(1, 1, 1), (100, 7, 33), (5, 50, 5000)])
def test_forward(count, rows, length, dtype):
    weight = (torch.randn(rows, length) * 10).to(dtype)
    for index_dtype in (torch.int64, torch.int32):
        indices = torch.randint(0, rows, (count,), dtype=index_dtype)
        out = harness.poisoned((count, length), dtype)
        tensors = [out, weight.to(harness.DEVICE), indices.to(harness.DEVICE)]
        harness.execute("embedding_forward", tensors, [count, length, length, rows])
        assert torch.equal(out.cpu(), weight[indices.long()])


@pytest.mark.parametrize("dtype", harness.FLOAT_DTYPES)
@pytest.mark.parametrize(("count", "rows", "length"), [(1, 1, 1), (100, 7, 33), (1300, 500, 5), (3, 200, 4100)])
def test_backward(count, rows, length, dtype):
    indices = torch.randint(0, rows, (count,))
    grad = torch.randn(count, length).to(dtype)
    for padding in (-1, int(indices[0])):
        kept = grad.double() * (indices != padding)[:, None]
        expected = torch.zeros(rows, length, dtype=torch.float64).index_add_(0, indices, kept)
        results = []
        for chip in ("mtia1", "mtia300"):
            out = harness.poisoned((rows, length), dtype)
            tensors = [out, grad.to(harness.DEVICE), indices.to(harness.DEVICE)]
            harness.execute("embedding_backward", tensors, [count, length, rows, length], [padding], chip)
            harness.assert_close(out, expected)
            results.append(out.cpu())
        assert torch.equal(*results)
