"""Embedding rows and the dense gradient of the table against CPU torch."""

import os
import subprocess
import sys

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


def gradient(grad: torch.Tensor, indices: torch.Tensor, rows: int, padding: int) -> torch.Tensor:
    return torch.ops.aten.embedding_dense_backward(grad, indices, rows, padding, False)


@pytest.mark.parametrize("dtype", harness.FLOAT_DTYPES)
@pytest.mark.parametrize(
    ("count", "rows", "length"),
    [(1, 1, 1), (100, 7, 33), (1300, 500, 5), (3, 200, 4100), (40, 3, 70_001), (2500, 20_000, 24), (33, 9001, 300)],
)
def test_backward(count, rows, length, dtype):
    for index_dtype in (torch.int64, torch.int32):
        indices = torch.randint(0, rows, (count,), dtype=index_dtype)
        wide = torch.randn(count, 2 * length).to(dtype)
        for grad in (wide[:, :length].contiguous(), wide[:, length:], wide[:, ::2]):
            for padding in (-1, int(indices[0])):
                kept = grad.double() * (indices != padding)[:, None]
                expected = torch.zeros(rows, length, dtype=torch.float64).index_add_(0, indices.long(), kept)
                found = gradient(grad.to(harness.DEVICE), indices.to(harness.DEVICE), rows, padding)
                harness.assert_close(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize("chip", ["mtia1", "mtia2i"])
def test_backward_has_the_same_bits_on_every_chip(chip):
    lines = (
        "import torch, mtia_sim, hashlib",
        "torch.manual_seed(1)",
        "for dtype in (torch.float32, torch.bfloat16):",
        "    grad, index = torch.randn(900, 1500).to(dtype), torch.randint(300, (900,))",
        "    grad, index = grad.to('mtia_sim'), index.to('mtia_sim')",
        "    table = torch.ops.aten.embedding_dense_backward(grad, index, 300, -1, False)",
        "    print(hashlib.sha256(table.cpu().float().numpy().tobytes()).hexdigest())",
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", "\n".join(lines)],
            env={**os.environ, "MTIA_SIM_CHIP": each},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for each in (chip, "mtia300")
    ]
    assert found[0] == found[1]
