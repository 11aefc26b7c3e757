"""Factors of matrices, small and cut into blocks, have the same bits on every chip (docs/numerics.md)."""

import functools
import os
import subprocess
import sys

import pytest

# Prints a digest of each operator's results. What does not fit a PE of mtia1 is left out.
PROGRAM = """
import hashlib, torch
from torch import linalg
generator = torch.Generator().manual_seed(5)

def random(*shape, dtype):
    return torch.randn(*shape, dtype=dtype, generator=generator) / shape[-1] ** 0.5

def unit(a):
    return torch.eye(a.size(-1), dtype=a.dtype)

def symmetric(a):
    return a + a.mH

def positive(a):
    return a @ a.mH + unit(a)

def systems(a):
    b = a[..., :7].contiguous()
    return [linalg.inv(a), linalg.solve(a, b), linalg.solve(a, b.mT, left=False),
            linalg.solve_triangular(a, b, upper=True), linalg.solve_triangular(a, b.mT, upper=False, left=False)]

CALLS = {
    "cholesky": lambda a: [linalg.cholesky(a), linalg.cholesky(a, upper=True)],
    "lu": linalg.lu_factor,
    "systems": systems,
    "qr": lambda a: linalg.qr(a, "complete"),
    "lstsq": lambda a: linalg.lstsq(a, a[..., :3].contiguous(), driver="gels")[:1],
    "eigh": linalg.eigh,
    "svd": linalg.svd,
    "eig": linalg.eig,
    "ldl": linalg.ldl_factor,
}
PREPARED = {"cholesky": positive, "eigh": symmetric, "ldl": symmetric, "systems": lambda a: a + 2 * unit(a)}
SHAPES = {
    torch.float32: [(40, 40), (190, 190), (17, 190, 190), (340, 340)],
    torch.float64: [(2, 150, 150), (200, 200)],
    torch.complex64: [(140, 140)],
}
for name, call in CALLS.items():
    digest = hashlib.sha256()
    for dtype, shapes in SHAPES.items():
        for shape in shapes:
            if (name in ("eig", "ldl") and shape[-1] > 100) or (name in ("eigh", "svd") and len(shape) == 3):
                continue
            a = random(*shape, dtype=dtype)
            for result in call(PREPARED.get(name, lambda a: a)(a).to("mtia_sim")):
                digest.update(result.cpu().contiguous().numpy().tobytes())
    print(name, digest.hexdigest())
"""


@functools.cache
def digests(chip: str) -> dict[str, str]:
    environment = os.environ | {"MTIA_SIM_CHIP": chip}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(line.split() for line in done.stdout.splitlines())


@pytest.mark.parametrize("chip", ["mtia1", pytest.param("mtia2i", marks=pytest.mark.slow)])
def test_a_chip_changes_no_bits(chip: str) -> None:
    assert digests(chip) == digests("mtia300")
