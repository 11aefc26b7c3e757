"""python -m tests.fuzz.paths --cases N --seed S: one line a random kernel, a digest of the bytes that it leaves.

What the host chooses by itself (machine code or loops, vector instructions, threads, checked mode) comes from the
environment: two runs give the same lines. Each kernel also runs as instruments see it, unfused and without lazy loads;
a line says where that differs.
"""

import argparse
import hashlib
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.fuzz import semantics, statements
from tests.fuzz.__main__ import run_case
from tests.fuzz.checking import Checker, Difference
from tests.fuzz.interpreter import Outcome
from tests.fuzz.kernel import Kernel

# Bits of the magnitude above which a float is no number; which one it is may depend on the host.
_INFINITY = {"f64": 0x7FF0 << 48, "f32": 0x7F800000, "f16": 0x7C00, "bf16": 0x7F80}
_WORDS = {8: np.uint64, 4: np.uint32, 2: np.uint16}


def without_nans(raw: bytes, dtype: str) -> bytes:
    """The bytes with one NaN in place of all."""
    if dtype not in _INFINITY:
        return raw
    words = np.frombuffer(raw, _WORDS[semantics.size_of(dtype)]).copy()
    sign = np.array(1 << (8 * words.itemsize - 1), words.dtype)
    words[(words & ~sign) > _INFINITY[dtype]] = _INFINITY[dtype] + 1
    return words.tobytes()


class Digests(Checker):
    """Runs kernels as a Checker does, and keeps what they leave instead of comparing it."""

    def _run(self, kernel: Kernel, outcome: Outcome, program: bytes, seed: int) -> Difference | None:
        self.observed = False
        fused = super()._run(kernel, outcome, program, seed)
        self.observed = True
        unfused = super()._run(kernel, outcome, program, seed)
        assert fused is not None and unfused is not None
        return fused if fused == unfused else Difference("paths", f"fused {fused.text}, unfused {unfused.text}")

    def _launch(self, handle: Any, grid: tuple[int, int, int], arguments: list[int]) -> None:
        if self.observed:
            handle.profile_next()
        super()._launch(handle, grid, arguments)

    def _compare(
        self, kernel: Kernel, outcome: Outcome, starts: list[int], before: Any, after: Any
    ) -> Difference | None:
        digest = hashlib.sha256()
        for buffer, start in zip(kernel.buffers, starts, strict=True):
            size = len(buffer.contents) * semantics.size_of(buffer.dtype)
            digest.update(without_nans(after[start : start + size].tobytes(), buffer.dtype))
        return Difference("digest", digest.hexdigest()[:16])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.paths", description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(0)
    statements.gives_lanes_values = True  # the same kernels in checked mode and out of it
    paths = 0
    with tempfile.TemporaryDirectory() as folder:
        digests = Digests(Path(folder))
        for case in range(options.cases):
            difference, _ = run_case(digests, options.seed, case)
            kind, text = (difference.kind, difference.text) if difference else ("none", "nothing ran")
            if kind == "fault":  # addresses and lines of a fault are no result
                text = text.partition(":")[0]
            paths += kind == "paths"
            print(case, kind, text, flush=True)
    return 1 if paths else 0


if __name__ == "__main__":
    sys.exit(main())
