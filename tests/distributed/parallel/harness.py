"""Ways to train the same small Llama on several ranks: each gives a loss a step, which one CPU's are to match.

`python -m tests.distributed.parallel.NAME` is one rank, started by ways_of; it runs the ways of a module one after the
other, so that torch is imported once for all of them.
"""

import datetime
import faulthandler
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from examples.llama.model import Llama
from examples.llama.sizes import Size

SIZE = Size(32, 4, 4, 2, 64, tied_head=False, learning_rate=3e-3)
VOCABULARY, BATCH, SEQUENCE, STEPS = 64, 4, 16, 20
DEVICE = torch.device("mtia_sim", torch.accelerator.current_device_index())  # of the local rank
LIMIT = 300  # seconds of a rank, after which it says where it is

Losses = list[float]
Result = tuple[Losses, Losses | None]  # and those to be matched, where they are not reference_losses
_ways: dict[str, Callable[[], Losses | Result]] = {}


def way(function: Callable[[], Losses | Result]) -> Callable[[], Losses | Result]:
    _ways[function.__name__] = function
    return function


def build_llama(seed: int = 0, sequence: int = SEQUENCE) -> Llama:
    torch.manual_seed(seed)
    return Llama(SIZE, VOCABULARY, sequence)


def batch(step: int, count: int = BATCH, sequence: int = SEQUENCE) -> tuple[Tensor, Tensor]:
    """Inputs and targets [count, sequence] of a step, on the CPU: each row counts by a number of its own."""
    generator = torch.Generator().manual_seed(1000 + step)
    start, stride = torch.randint(0, 8, (2, count, 1), generator=generator)
    tokens = (start + stride * torch.arange(sequence + 1)) % VOCABULARY
    return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def adamw(parameters: Iterable[nn.Parameter], **options: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, SIZE.learning_rate, **options)


def mean_over_ranks(loss: Tensor, group: Any = None) -> float:
    loss = loss.detach().clone()
    dist.all_reduce(loss, op=dist.ReduceOp.SUM, group=group)
    return float(loss) / dist.get_world_size(group)


def train(
    loss_of: Callable[[int], Tensor],
    optimizer: torch.optim.Optimizer,
    steps: int = STEPS,
    before_step: Callable[[], object] = lambda: None,
    group: Any = None,
) -> Losses:
    """Losses of steps, each the mean over ranks of loss_of(step)."""
    losses = []
    for step in range(steps):
        loss = loss_of(step)
        loss.backward()
        before_step()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(mean_over_ranks(loss, group))
    return losses


@functools.cache
def reference_losses(steps: int = STEPS, count: int = BATCH, sequence: int = SEQUENCE) -> Losses:
    """What one CPU makes of the same weights and tokens in float32."""
    model = build_llama(sequence=sequence)
    optimizer = adamw(model.parameters())
    losses = []
    for step in range(steps):
        inputs, targets = batch(step, count, sequence)
        loss = cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def main() -> None:
    """One rank: a line of JSON for each way that the command line names, or for all."""
    warnings.simplefilter("ignore")
    faulthandler.dump_traceback_later(LIMIT, exit=True)
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    dist.init_process_group(
        init_method=os.environ["MEETING"], rank=rank, world_size=size, timeout=datetime.timedelta(seconds=90)
    )
    for name in sys.argv[1:] or list(_ways):
        start = time.perf_counter()
        try:
            result = _ways[name]()
        except BaseException:
            print(json.dumps({"way": name, "error": traceback.format_exc()}), flush=True)
            os._exit(1)  # the group is out of step
        losses, expected = result if isinstance(result, tuple) else (result, None)
        row = {"way": name, "losses": [loss.hex() for loss in losses], "expected": expected}
        print(json.dumps({**row, "seconds": time.perf_counter() - start}), flush=True)
    assert torch.mtia_sim.fallbacks() == {}, torch.mtia_sim.fallbacks()
    dist.destroy_process_group()


@functools.cache
def ways_of(module: str, size: int, again: int = 0, names: tuple[str, ...] = ()) -> dict[str, list[dict[str, Any]]]:
    """Of each way of tests/distributed/parallel/MODULE.py, what each of `size` ranks said."""
    said: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        ranks = []
        for rank in range(size):
            variables = {"RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": size}
            own = {**os.environ, **{name: str(value) for name, value in variables.items()}, "OMP_NUM_THREADS": "1"}
            own["MEETING"] = f"file://{folder}/meeting"
            command = [sys.executable, "-m", f"tests.distributed.parallel.{module}", *names]
            pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            ranks.append(subprocess.Popen(command, env=own, cwd=Path(__file__).parents[3], **pipes))
        try:
            for process in ranks:
                printed, complaints = process.communicate(timeout=LIMIT + 30)
                for line in printed.splitlines():
                    if line.startswith('{"way"'):
                        row = json.loads(line)
                        said.setdefault(row["way"], []).append(row)
                if process.returncode != 0:
                    said.setdefault("complaints", []).append({"error": complaints[-4000:]})
        finally:
            for process in ranks:
                process.kill()
    return said


def check(module: str, size: int, names: tuple[str, ...], name: str, again: bool = False) -> None:
    """All ranks give the losses of one CPU within 1e-4, and the same bits in another run where `again`.

    `names` are run one after the other in the same processes.
    """
    said = ways_of(module, size, 0, names)
    rows = said.get(name, [])
    errors = [row["error"] for row in rows if "error" in row]
    assert not errors, "\n".join(errors)
    assert len(rows) == size, f"{len(rows)} of {size} ranks came to {name}: {said.get('complaints')}"
    losses = rows[0]["losses"]
    assert all(row["losses"] == losses for row in rows)
    values = [float.fromhex(loss) for loss in losses]
    expected = rows[0]["expected"] or reference_losses()
    assert len(values) == len(expected)
    worst = max(abs(value - wanted) for value, wanted in zip(values, expected, strict=True))
    assert worst < 1e-4, (worst, values, expected)
    if again:
        assert [row["losses"] for row in ways_of(module, size, 1, (name,))[name]] == [losses] * size
