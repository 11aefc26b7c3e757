"""One process for a job of many ranks: what it takes is what real ranks take, and what is known stays known."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.distributed.ranks import START, run

# Prints what a step of each way of training and each collective took, in chip time.
MEASURED = """
import json
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

found = {}

def measure(name, action):
    torch.mtia_sim.synchronize()
    torch.mtia_sim.reset_perf_counters()
    action()
    torch.mtia_sim.synchronize()
    counters = torch.mtia_sim.perf_counters()
    found[name] = [counters["collective_seconds"], counters["bytes"]["peers"], counters["elapsed_seconds"]]

size = dist.get_world_size()
tensor, whole = torch.empty(1 << 18, device=DEVICE), torch.empty(size << 18, device=DEVICE)
parts = [torch.empty(1 << 18, device=DEVICE) for _ in range(size)]
dist.barrier()
measure("all_reduce", lambda: dist.all_reduce(tensor))
measure("broadcast", lambda: dist.broadcast(tensor, 1))
measure("reduce", lambda: dist.reduce(tensor, 2))
measure("all_gather", lambda: dist.all_gather(parts, tensor))
measure("all_gather_into_tensor", lambda: dist.all_gather_into_tensor(whole, tensor))
measure("reduce_scatter_tensor", lambda: dist.reduce_scatter_tensor(tensor, whole))
measure("all_to_all_single", lambda: dist.all_to_all_single(whole, torch.empty_like(whole)))
measure("barrier", dist.barrier)

def block():
    return nn.Sequential(nn.Linear(256, 1024, device=DEVICE), nn.GELU(), nn.Linear(1024, 256, device=DEVICE))

def step_of(model):
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    def step():
        model(torch.ones(512, 256, device=DEVICE)).sum().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    step()
    return step

mesh = init_device_mesh("mtia_sim", (size // 2, 2), mesh_dim_names=("data", "tensor"))
measure("ddp", step_of(nn.parallel.DistributedDataParallel(nn.Sequential(block(), block()))))
model = nn.Sequential(block(), block(), block())
for part in model:
    parallelize_module(part, mesh["tensor"], {"0": ColwiseParallel(), "2": RowwiseParallel()})
    fully_shard(part, mesh=mesh["data"], mp_policy=MixedPrecisionPolicy(torch.bfloat16, torch.float32))
fully_shard(model, mesh=mesh["data"])
measure("fsdp and tp", step_of(model))
print("FOUND", json.dumps(found))
"""

ALONE = START.replace('init_method=os.environ["MEETING"], rank=RANK, world_size=SIZE,', "")


def alone(script: str, world: str, expected: int = 0, **environment: str) -> str:
    """What one process for the ranks of `world` printed."""
    variables = {"MTIA_SIM_WORLD": world, "MTIA_SIM_MODE": "timing", "MTIA_SIM_CHIP": "mtia300", **environment}
    own = {**os.environ, **variables}
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        own.pop(name, None)
    start = ALONE.replace('int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])', "0, 1")
    command = [sys.executable, "-c", start + script]
    process = subprocess.run(command, env=own, capture_output=True, text=True, timeout=240)
    assert process.returncode == expected, process.stdout[-2000:] + process.stderr[-2000:]
    return process.stdout + process.stderr


def found(printed: str) -> dict[str, Any]:
    line = next(line for line in printed.splitlines() if line.startswith("FOUND"))
    answer: dict[str, Any] = json.loads(line.removeprefix("FOUND"))
    return answer


def test_one_process_takes_what_four_ranks_take(tmp_path: Path) -> None:
    real = found(run(MEASURED, 4, tmp_path, MTIA_SIM_MODE="timing", MTIA_SIM_CHIP="mtia300")[0])
    mirrored = found(alone(MEASURED, "0/4"))
    assert mirrored == {name: pytest.approx(values, rel=1e-9) for name, values in real.items()}
    assert all(seconds > 0 for seconds, _, _ in real.values())


THOUSANDS = """
import time
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor
assert (dist.get_rank(), dist.get_world_size()) == (5, 16384) == (int(os.environ["RANK"]), 16384)

began = time.monotonic()
mesh = init_device_mesh("mtia_sim", (16, 2, 64, 8), mesh_dim_names=("pp", "replicate", "shard", "tp"))
data = mesh["replicate", "shard"]._flatten("data")
assert (data.size(), mesh["tp"].get_local_rank(), mesh["pp"].get_local_rank()) == (128, 5, 0)
assert time.monotonic() - began < 20

def reduced(values, operation, group=None, **keywords):
    tensor = torch.tensor(values, device=DEVICE, **keywords)
    dist.all_reduce(tensor, operation, group=group)
    return tensor.tolist()

eight = mesh["tp"].get_group()
assert reduced([1.5, -2.0], dist.ReduceOp.SUM) == [1.5 * 16384, -2.0 * 16384]
assert reduced([1.5, -2.0], dist.ReduceOp.AVG) == [1.5, -2.0]
assert reduced([3, -2], dist.ReduceOp.SUM, eight) == [24, -16]
assert reduced([3, -2], dist.ReduceOp.PRODUCT, eight) == [3**8, 2**8]
assert reduced([3, 2], dist.ReduceOp.BXOR, eight) == [0, 0]
assert reduced([True, False], dist.ReduceOp.SUM, eight) == [True, False]
assert reduced([3.0], dist.ReduceOp.MAX, dtype=torch.bfloat16) == [3.0]
unknown = torch.empty(1 << 24, device=DEVICE)
dist.all_reduce(unknown)

gathered = torch.empty(16, device=DEVICE, dtype=torch.int64)
dist.all_gather_into_tensor(gathered, torch.tensor([7, 8], device=DEVICE), group=eight)
assert gathered.tolist() == [7, 8] * 8
scattered = torch.empty(2, device=DEVICE)
dist.reduce_scatter_tensor(scattered, torch.arange(16.0, device=DEVICE), group=eight)
assert scattered.tolist() == [80.0, 88.0]  # this rank's part, of eight ranks
out = torch.empty(8, device=DEVICE)
dist.all_to_all_single(out, torch.arange(8.0, device=DEVICE), group=eight)
assert out.tolist() == list(range(8))

alone = dist.new_group([5])
assert reduced([3.0], dist.ReduceOp.SUM, alone) == [3.0]

everyone = [None] * 16384
dist.all_gather_object(everyone, {"rank": dist.get_rank()})
assert everyone[16383] == {"rank": 5}
told = ["mine"]
dist.broadcast_object_list(told, src=0)
assert told == ["mine"]
number = torch.tensor([2.0])
dist.all_reduce(number)
assert number.item() == 2 * 16384
assert distribute_tensor(torch.ones(64, 8), mesh["tp"], [Shard(0)]).to_local().shape == (8, 8)
dist.barrier()
host = dist.new_group(backend="gloo")
dist.all_reduce(number, group=host)
assert number.item() == 2 * 16384**2

dist.group.WORLD.bound_device_id = DEVICE  # as init_process_group(device_id=) leaves it
split = dist.split_group(split_ranks=[list(range(first, first + 8)) for first in range(0, 16384, 8)])
assert (split.rank(), split.size()) == (5, 8) and reduced([3.0], dist.ReduceOp.SUM, split) == [24.0]
before = torch.mtia_sim.perf_counters()["collective_seconds"]
with dist.distributed_c10d._time_estimator(split) as estimate:
    reduced([1.0] * 4096, dist.ReduceOp.SUM, split)
assert reduced([1.0] * 4096, dist.ReduceOp.SUM, split)[0] == 8.0
taken = torch.mtia_sim.perf_counters()["collective_seconds"] - before
assert abs(estimate.estimated_time - 1e6 * taken) < 1e-3 * estimate.estimated_time, (estimate.estimated_time, taken)
sparse = torch.sparse_coo_tensor([[0, 3]], [1.0, 2.0], (5,)).to(DEVICE)
dist.all_reduce(sparse, group=split)
assert sparse.to_dense().tolist() == [8.0, 0, 0, 16.0, 0]
dist.monitored_barrier(split)

x = torch.ones(8, device=DEVICE)
rows = [x[:1] for _ in range(8)]
for call, said in (  # as where all ranks exist
    (lambda: dist.all_gather([torch.ones(8) for _ in range(8)], x, group=split), "is on cpu"),
    (lambda: dist.all_gather([x], x, group=split), "1 tensors for 8 ranks"),
    (lambda: dist.all_to_all_single(x, x, [9, -1] + 6 * [0], [9, -1] + 6 * [0], group=split), "-1 rows"),
    (lambda: dist.broadcast(x, 99999), "rank 99999 of 16384"),
    (lambda: dist.scatter(x, rows, src=5, group=split), "parts of 1 elements into 8"),
    (lambda: dist.all_gather_into_tensor(torch.empty(8, 16, device=DEVICE).t(), torch.ones(2, 8, device=DEVICE),
                                         group=split), "not contiguous"),
):
    try:
        call()
    except ValueError as error:
        assert said in str(error), error
    else:
        raise AssertionError(said)
dist.destroy_process_group()
"""


def test_a_process_stands_for_one_of_thousands() -> None:
    alone(THOUSANDS, "5/16384")


# Stages of a pipeline, each eight ranks wide, of which one exists.
STAGES = """
from torch.distributed.device_mesh import init_device_mesh
rank = dist.get_rank()
assert (rank, dist.get_world_size()) == (RANK * 8, 16)
mesh = init_device_mesh("mtia_sim", (2, 8), mesh_dim_names=("pp", "data"))
pp, data = mesh["pp"].get_group(), mesh["data"].get_group()
torch.mtia_sim.reset_perf_counters(DEVICE)
matrix = torch.empty(4096, 4096, device=DEVICE)
if RANK == 0:
    for _ in range(10):
        matrix = matrix @ matrix
    dist.send(torch.tensor([42.0], device=DEVICE), 8, group=pp)
    print("WORKED", torch.mtia_sim.perf_counters(DEVICE)["seconds"])
else:
    received = torch.empty(1, device=DEVICE)
    dist.recv(received, 0, group=pp)
    assert received.item() == 42.0
    print("WORKED", torch.mtia_sim.perf_counters(DEVICE)["elapsed_seconds"])
total = torch.tensor([float(RANK + 1)], device=DEVICE)
dist.all_reduce(total, group=data)
assert total.item() == 8 * (RANK + 1)
dist.all_reduce(total, group=pp)
assert total.item() == 24
torch.mtia_sim.synchronize(DEVICE)
if RANK == 1:
    matrix @ matrix
dist.all_reduce(total)
torch.mtia_sim.synchronize(DEVICE)
print("ENDED", torch.mtia_sim.perf_counters(DEVICE)["elapsed_seconds"])
"""


def test_stages_are_processes_and_their_ranks_mirrored(tmp_path: Path) -> None:
    printed = run(STAGES, 2, tmp_path, MTIA_SIM_MODE="timing", MTIA_SIM_WORLD="/16", MTIA_SIM_CHIP="mtia300")
    worked, ended = (
        [float(line.split()[1]) for text in printed for line in text.splitlines() if line.startswith(word)]
        for word in ("WORKED", "ENDED")
    )
    assert worked[1] > 0.99 * worked[0] > 0  # the second stage waited for the first
    assert ended[0] == pytest.approx(ended[1], rel=1e-6)  # all ranks meet


FAKE = """
import torch
import torch.distributed as dist
dist.init_process_group("fake", rank=3, world_size=256)
torch.mtia_sim.reset_perf_counters()
tensor, number = torch.ones(4, device="mtia_sim"), torch.ones(1)
dist.all_reduce(tensor)
dist.all_reduce(number)
assert (tensor.tolist(), number.item()) == ([256.0] * 4, 1.0)  # torch's own fake group leaves values alone
counters = torch.mtia_sim.perf_counters()
assert counters["collectives"] == 1 and counters["collective_seconds"] > 0
assert dist.get_backend() == "fake"
dist.group.WORLD.bound_device_id = torch.device("mtia_sim:0")
split = dist.split_group(split_ranks=[[1, 3]])
dist.all_reduce(tensor, group=split)
assert (split.rank(), tensor.tolist()) == (1, [512.0] * 4)
"""


def test_works_that_nobody_waits_for_give_their_memory_back() -> None:
    alone(
        """
before = torch.mtia_sim.memory_allocated()
for _ in range(20):
    dist.all_reduce(torch.empty(1 << 20, device=DEVICE), async_op=True)
    torch.mtia_sim.synchronize()
dist.all_reduce(torch.empty(8, device=DEVICE))
assert torch.mtia_sim.memory_allocated() - before < 1 << 20
""",
        "0/8",
    )


def test_fake_group_takes_the_device() -> None:
    done = subprocess.run([sys.executable, "-c", FAKE], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    ("world", "environment", "said"),
    [
        ("0/8", {"MTIA_SIM_MODE": "functional"}, "MTIA_SIM_MODE=timing"),
        ("8", {}, "neither RANK/SIZE nor /SIZE"),
        ("8/8", {}, "give a rank from 0 to 7"),
        ("0/8", {"WORLD_SIZE": "2", "RANK": "1"}, "give MTIA_SIM_WORLD=/8"),
        ("/8", {"WORLD_SIZE": "3", "RANK": "1"}, "no multiple of 3 processes"),
    ],
)
def test_what_is_refused(world: str, environment: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import mtia_sim.world
    from mtia_core.errors import InvalidArgument

    monkeypatch.setattr(mtia_sim.world, "_started", None)
    monkeypatch.setattr(mtia_sim.world._C, "mode", lambda _: environment.get("MTIA_SIM_MODE", "timing"))
    monkeypatch.setenv("MTIA_SIM_WORLD", world)
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidArgument, match=said):
        mtia_sim.world.from_environment()
