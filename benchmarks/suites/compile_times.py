"""Child process of suite `triton`: compiles the repository's and the tutorials' kernels, and one very large kernel.

python -m suites.compile_times DEVICE CLOCK [TUTORIALS]     prints JSON: ms of each kernel and of the largest
"""

import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import triton

from .kernels import cases
from .plain import PLAIN
from .training import training_step
from .triton_kernels import unrolled_series
from .tutorials import load_tutorial

TUTORIALS = ("01", "02", "03", "05", "06")  # 04 needs tabulate
LARGEST_TERMS = 570  # 14 operations each
SMALL = 1 << 22  # elements of a kernel case's largest tensor: compiling does not depend on more


class Listener:
    """Keeps what Triton reports of each compilation."""

    def __init__(self) -> None:
        self.times: list[dict[str, Any]] = []

    def __call__(self, *, src: Any, metadata: Any, metadata_group: Any, times: Any, cache_hit: bool) -> None:
        if cache_hit:
            return
        stages = dict(times.lowering_stages)
        name = metadata["name"] if isinstance(metadata, dict) else metadata.name
        self.times.append(
            {
                "name": name,
                "ms": times.total / 1e3,
                "ttir": (times.ir_initialization + stages.get("ttir", 0)) / 1e3,
                "program": stages.get("tileprog", 0) / 1e3,
                "ttir_file": next((path for file, path in metadata_group.items() if file.endswith(".ttir")), None),
            }
        )


def run_repository(device: torch.device) -> None:
    """Launches that reach most kernels of the repository: a training step and the cases of suite `kernels`."""
    for dtype in ("float32", "bfloat16"):
        training_step(device, "tiny", dtype, 1, 64)()
    for case in cases():
        if case.name not in ("matmul", "linear", "bmm") and "67108864" not in case.shape:
            case.build(device)()
    for plain in PLAIN.values():
        plain.launch(device)()


def run_tutorials(device: torch.device, folder: Path) -> None:
    modules = {number: load_tutorial(folder, number) for number in TUTORIALS}
    modules["05"].test_layer_norm(115, 151, torch.float16, device=device)
    shape = (1, 2, 256, 64)
    q, k, v = (torch.randn(shape, dtype=torch.float16, device=device).requires_grad_() for _ in range(3))
    for causal in (True, False):
        modules["06"].attention(q, k, v, causal, 0.5, False).backward(torch.ones_like(q))


def main(device_name: str, clock: str, tutorials: str | None = None) -> None:
    if clock == "processor":  # the compiling thread's, for a machine that others use too
        triton.compiler.compiler.time = SimpleNamespace(time=time.thread_time)
    device = torch.device(device_name)
    torch.empty(1, device=device)
    listener = Listener()
    add_warm_up = PLAIN["plain_add"].launch(device)
    add_warm_up()  # Triton's own imports
    torch.get_device_module(device).synchronize()
    triton.knobs.compilation.listener = listener
    run_repository(device)
    if tutorials is not None:
        run_tutorials(device, Path(tutorials))
    torch.get_device_module(device).synchronize()
    kernels = list(listener.times)
    listener.times.clear()
    x, out = torch.randn(4096, device=device), torch.empty(1024, device=device)
    unrolled_series[(1,)](x, out, TERMS=LARGEST_TERMS, BLOCK=1024)
    torch.get_device_module(device).synchronize()
    (largest,) = listener.times
    largest["lines"] = len(Path(largest["ttir_file"]).read_text().splitlines())
    print()
    print(json.dumps({"kernels": kernels, "largest": largest}))


if __name__ == "__main__":
    main(*sys.argv[1:])
