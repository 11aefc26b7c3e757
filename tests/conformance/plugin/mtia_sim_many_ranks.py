"""Readies torch's harness of distributed tests for the device, in the process whose forks become the ranks."""

import functools
import importlib
import os
from typing import Any

import torch
from torch import distributed
from torch.testing._internal import common_distributed

RANKS = int(os.environ["WORLD_SIZE"])
# What tests of CUDA call without naming a tensor or a device.
_SAME_IN_BOTH = (
    "current_device",
    "current_stream",
    "default_stream",
    "device",
    "Event",
    "get_device_name",
    "get_device_properties",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "memory_allocated",
    "reset_peak_memory_stats",
    "set_device",
    "Stream",
    "stream",
    "synchronize",
)


def _fork_ranks(case: Any) -> None:
    """In the place of MultiProcessTestCase._spawn_processes: what changed here holds in the ranks, and they need not
    import torch again."""
    case._start_processes(torch.multiprocessing.get_context("fork").Process)


def _ours(backend: str | None) -> str | None:
    """Tests know what gloo and nccl can do, by their names; mccl does both."""
    return "mccl" if backend in ("gloo", "nccl") else backend


def _rename_backends() -> None:
    start, split = distributed.init_process_group, distributed.new_group

    @functools.wraps(start)
    def init_process_group(backend: str | None = None, *arguments: Any, **keywords: Any) -> None:
        start(_ours(backend), *arguments, **keywords)

    @functools.wraps(split)
    def new_group(
        ranks: Any = None, timeout: Any = None, backend: str | None = None, *rest: Any, **keywords: Any
    ) -> Any:
        return split(ranks, timeout, _ours(backend), *rest, **keywords)

    for module in (distributed, distributed.distributed_c10d):
        module.init_process_group, module.new_group = init_process_group, new_group  # type: ignore[attr-defined]


def prepare_as_nccl() -> None:
    """As prepare, for the cases that ask for NCCL: those of device tensors alone."""
    prepare("nccl")
    distributed.is_nccl_available = distributed.distributed_c10d.is_nccl_available = lambda: True
    torch.cuda.nccl.version = lambda: (2, 30, 0)  # the newest that a case asks for


def prepare_ranks() -> None:
    """Ranks are forks, each of which finds a device of its own and one core."""
    torch.set_num_threads(1)
    torch.multiprocessing.set_start_method("fork", force=True)  # whoever asks for another later is told that it is set
    torch.multiprocessing.spawn = functools.partial(torch.multiprocessing.start_processes, start_method="fork")
    common_distributed.MultiProcessTestCase._spawn_processes = _fork_ranks  # type: ignore[method-assign]
    importlib.import_module("mtia_sim.operators")  # once, and not in every rank


def prepare(backend: str = "gloo") -> None:
    """Called before the tests' files are imported. ``backend``: whose cases are run, with mccl in its place."""
    prepare_ranks()
    os.environ["BACKEND"] = backend
    for feature in ("gpu", "cuda", "ddp", "subgroup"):
        common_distributed.DistTestCases.backend_feature[feature].add("mccl")
    common_distributed.TEST_CUDA = True
    torch.cuda._lazy_init = torch.mtia_sim.init
    _rename_backends()
    for name in _SAME_IN_BOTH:
        setattr(torch.cuda, name, getattr(torch.mtia_sim, name))
