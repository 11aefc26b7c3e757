"""Records the traces that docs/tracing.md shows: `python docs/record_traces.py FOLDER`."""

import argparse
import sys
from pathlib import Path

import torch
import triton
import triton.language as tl

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))

from llama.model import Llama
from llama.sizes import SIZES


@triton.jit
def matmul(a, b, c, n, k, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    """c = a b for sizes that are multiples of the blocks."""
    rows = tl.program_id(0) * M + tl.arange(0, M)
    columns = tl.program_id(1) * N + tl.arange(0, N)
    total = tl.zeros((M, N), tl.float32)
    for start in range(0, k, K):
        depth = start + tl.arange(0, K)
        left = tl.load(a + rows[:, None] * k + depth[None, :])
        right = tl.load(b + depth[:, None] * n + columns[None, :])
        total = tl.dot(left, right, total)
    tl.store(c + rows[:, None] * n + columns[None, :], total.to(c.dtype.element_ty))


def record_matmul(path: Path) -> None:
    """1024 x 1024 x 512 in bfloat16, 128 x 128 blocks: the instructions of two PEs."""
    a = torch.randn(1024, 512, device="mtia_sim", dtype=torch.bfloat16)
    b = torch.randn(512, 1024, device="mtia_sim", dtype=torch.bfloat16)
    c = torch.empty(1024, 1024, device="mtia_sim", dtype=torch.bfloat16)
    for _ in range(2):  # compiled and with its operands in SRAM the second time
        with torch.mtia_sim.trace(path, pes=[0, 1], kernels="matmul"):
            matmul[(8, 8)](a, b, c, 1024, 512, M=128, N=128, K=64, num_stages=2)
    torch.testing.assert_close(c.cpu().float(), a.cpu().float() @ b.cpu().float(), rtol=2e-2, atol=0.5)


def record_llama_step(path: Path) -> None:
    """A training step of a small Llama, its next batch copied on a stream of its own."""
    torch.manual_seed(0)
    model = Llama(SIZES["tiny"], 256, 128).to("mtia_sim")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    batches = [torch.randint(0, 256, (4, 129)).pin_memory() for _ in range(3)]
    copies = torch.mtia_sim.Stream()
    tokens = batches[0].to("mtia_sim")
    for step in range(2):
        torch.mtia_sim.synchronize()
        with torch.mtia_sim.trace(path, pes=()):
            with torch.mtia_sim.stream(copies):
                following = batches[step + 1].to("mtia_sim", non_blocking=True)
            logits = model(tokens[:, :-1])
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            torch.mtia_sim.current_stream().wait_stream(copies)
            tokens = following


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    record_matmul(folder / "matmul.json")
    record_llama_step(folder / "llama.json")


if __name__ == "__main__":
    main()
