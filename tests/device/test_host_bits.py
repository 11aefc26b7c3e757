"""Products give the same bits on every instruction set of the host where they promise to (docs/numerics.md)."""

import functools
import os
import subprocess
import sys

import pytest

# Products of the C++ kernel (several tiles, odd k, one row) and by Triton's dot, forward and backward, in each dtype.
PROGRAM = """
import hashlib, torch
from torch.nn.functional import scaled_dot_product_attention
generator = torch.Generator().manual_seed(3)
def random(*shape):
    return torch.randn(*shape, generator=generator)
digest = hashlib.sha256()
for dtype in (torch.float32, torch.float16, torch.bfloat16):
    for m, k, n in ((150, 333, 290), (1, 129, 70), (33, 31, 5)):
        a, b = random(m, k).to(dtype).to("mtia_sim"), random(n, k).to(dtype).to("mtia_sim")
        digest.update((a @ b.T).float().cpu().numpy().tobytes())
    q, k, v = (random(1, 2, 70, 32).to(dtype).to("mtia_sim").requires_grad_() for _ in range(3))
    scaled_dot_product_attention(q, k, v, is_causal=True).sum().backward()
    for x in (q, k, v):
        digest.update(x.grad.float().cpu().numpy().tobytes())
print(digest.hexdigest())
"""

PORTABLE_ROWS = ["plain", "avx2", "avx2_vnni", "avx512", "avx512_vnni", "avx512_bf16"]


@functools.cache
def digest(isa: str, bits: str) -> str:
    """What PROGRAM prints in a process of its own; skips where this CPU lacks the instruction set."""
    environment = os.environ | {"MTIA_SIM_HOST_ISA": isa, "MTIA_SIM_HOST_BITS": bits}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True)
    if "this CPU runs" in done.stderr:
        pytest.skip(f"this CPU does not run {isa}")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "isa", [pytest.param(isa, marks=() if isa == "avx2" else pytest.mark.slow) for isa in PORTABLE_ROWS]
)
def test_portable_bits_are_those_of_every_instruction_set(isa: str) -> None:
    assert digest(isa, "portable") == digest("", "portable")


def test_the_tiles_of_amx_and_their_model_give_the_same_bits() -> None:
    assert digest("amx", "") == digest("amx_model", "")


def test_the_fastest_bits_are_those_of_one_of_both_orders() -> None:
    assert digest("", "") in (digest("", "portable"), digest("amx_model", ""))


def test_portable_bits_refuse_the_tiles() -> None:
    environment = os.environ | {"MTIA_SIM_HOST_ISA": "amx_model", "MTIA_SIM_HOST_BITS": "portable"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True)
    assert done.returncode != 0
    assert "MTIA_SIM_HOST_BITS=portable" in done.stderr
