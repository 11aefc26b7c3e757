"""Measures stages of a training job of many chips, in one process that stands for one rank of it (MTIA_SIM_WORLD)."""

import time
from dataclasses import asdict
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, distributed

from mtia_core import chips
from mtia_sim import _C
from mtia_sim.study.jobs import Job
from mtia_sim.study.llama import SIZES, Size
from mtia_sim.study.plans import Plan
from mtia_sim.study.sharded import Optimizer, in_context, loss_of, meshes_of, part_of, uncollected
from mtia_sim.study.workloads import DEVICE, DTYPES, Options

_COLLECTIVES = ("broadcast", "gather", "scatter", "all_gather", "reduce_scatter", "all_reduce", "reduce", "all_to_all")


# By what Options.recompute says.
_RECOMPUTED = {0: "none", 1: "full", 2: "layer"}


def job_of(model: str, plan: Plan, options: Options) -> Job:
    """A rank's part of a plan, one sequence at a time."""
    return Job(
        model,
        data=plan.fsdp,
        copies=plan.dp,
        context=plan.cp,
        tensor=plan.tp,
        pipeline=plan.pp,
        sequence=options.sequence or 8192,
        recompute=_RECOMPUTED[options.recompute],
        dtype=options.dtype,
    )


class Step:
    """Forward and backward passes of microbatches through a stage, and the optimizer's."""

    def __init__(self, size: Size, stage: str, layers: int, job: Job) -> None:
        self.job, self.meshes = job, meshes_of(job)
        is_first, is_last = stage in ("first", "only"), stage in ("last", "only")
        self.model: Any = part_of(size, job, layers, is_first, is_last, self.meshes)
        shape = (1, job.sequence)
        self.words, self.targets = (torch.randint(0, size.vocabulary, shape, device=DEVICE) for _ in range(2))
        self.hidden = None
        if not is_first:  # what the stage before gives
            part = job.sequence // job.context // job.tensor
            self.hidden = torch.empty(1, part, size.hidden, dtype=DTYPES[job.dtype], device=DEVICE)
        self.is_last = is_last
        self.optimizer = Optimizer([self.model], job, self.meshes)

    def _forward(self) -> Tensor:
        found: Tensor = self.model(self.words if self.hidden is None else self.hidden.detach().requires_grad_())
        return loss_of(found, self.targets) if self.is_last else found

    def _backward(self, output: Tensor, is_last: bool) -> None:
        if self.job.pipeline > 1:
            self.model.set_requires_gradient_sync(is_last)
            self.model.set_reshard_after_backward(is_last)
        output.backward(None if output.dim() == 0 else torch.empty_like(output))

    def __call__(self, microbatches: int) -> None:
        """A step with so many; in a pipeline all of them are under way at once."""
        with uncollected():
            with in_context(self.job, self.meshes, [self.model], self.words, self.targets):
                self._passes(microbatches)
            self.optimizer.step()
            self.optimizer.zero_grad()

    def _passes(self, microbatches: int) -> None:
        if self.job.pipeline == 1:
            for _ in range(microbatches):
                self._backward(self._forward(), True)
        else:
            outputs = [self._forward() for _ in range(microbatches)]
            for number, output in enumerate(outputs):
                self._backward(output, number == microbatches - 1)


BESIDE = "gemm-beside-all-gather"


def measure_beside(options: Options) -> dict[str, Any]:
    """A product alone, and beside an all_gather between all ranks that lasts longer: seconds and alone_seconds."""
    rows, columns, depth = options.shape or (4096, 4096, 4096)
    dtype = DTYPES[options.dtype]
    left, right = (torch.randn(count, depth, device=DEVICE).to(dtype) for count in (rows, columns))
    part = torch.empty(1 << 28, dtype=torch.uint8, device=DEVICE)
    whole = torch.empty(distributed.get_world_size() << 28, dtype=torch.uint8, device=DEVICE)

    def product_seconds(beside: bool) -> float:
        begin, end = (torch.mtia_sim.Event(enable_timing=True) for _ in range(2))  # type: ignore[attr-defined]
        work = distributed.all_gather_into_tensor(whole, part, async_op=True) if beside else None
        begin.record()
        F.linear(left, right)
        end.record()
        if work is not None:
            work.wait()
        torch.mtia_sim.synchronize()  # type: ignore[attr-defined]
        return float(begin.elapsed_time(end)) / 1e3

    product_seconds(False)
    alone, seconds = product_seconds(False), product_seconds(True)
    return {**asdict(options), "workload": BESIDE, "fits": True, "seconds": seconds, "alone_seconds": alone}


def measure_part(workload: str, options: Options) -> dict[str, Any]:
    """What one chip of options.plan takes: of a stage of a model, or of BESIDE."""
    if not distributed.is_initialized():
        distributed.init_process_group()
    return measure_beside(options) if workload == BESIDE else measure_stage(workload, options)


def measure_stage(model: str, options: Options) -> dict[str, Any]:
    """What one chip of a stage takes for a step with options.layers layers and options.microbatches.

    Returns:
        The options; `fits`, and if so seconds, busy_seconds (the grid's), collective_seconds, joules, peer_bytes,
        peak_memory_bytes, by_kernel (as kernel_totals.by_name; collectives among them); else problem. host_seconds.
    """
    device: Any = torch.mtia_sim  # type: ignore[attr-defined]
    began = time.perf_counter()
    plan = Plan(*(options.plan or ()))
    size = SIZES[model]
    device.reset_peak_memory_stats()
    result: dict[str, Any] = {"workload": model, **asdict(options)}
    try:
        step = Step(size, options.stage, options.layers or 0, job_of(model, plan, options))
        step(options.microbatches)
        device.synchronize()
        _C.spend_saved_power(0)
        device.reset_perf_counters()
        with device.kernel_totals() as totals:
            step(options.microbatches)
            device.synchronize()
        counters = device.perf_counters()
    except torch.OutOfMemoryError as error:
        problem = str(error).splitlines()[0]
        return {**result, "fits": False, "problem": problem, "host_seconds": time.perf_counter() - began}
    by_kernel = totals.by_name()
    idle = max(0.0, counters["elapsed_seconds"] - counters["seconds"])
    return {
        **result,
        "fits": True,
        "seconds": counters["elapsed_seconds"],
        "busy_seconds": counters["seconds"],
        "joules": counters["joules"] + chips.load().idle_watts * idle,
        "collective_seconds": sum(row["seconds"] for name, row in by_kernel.items() if name in _COLLECTIVES),
        "peer_bytes": counters["bytes"]["peers"],
        "peak_memory_bytes": device.max_memory_allocated(),
        "by_kernel": by_kernel,
        "host_seconds": time.perf_counter() - began,
    }
