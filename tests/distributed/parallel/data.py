"""DistributedDataParallel with its options."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks, powerSGD_hook
from torch.distributed.algorithms.join import Join
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from tests.distributed.parallel.harness import (
    DEVICE,
    STEPS,
    Losses,
    Result,
    adamw,
    batch,
    build_llama,
    cross_entropy,
    main,
    mean_over_ranks,
    train,
    way,
)


def own_batch(step: int, device: torch.device = DEVICE) -> tuple[Tensor, Tensor]:
    """The part of this rank."""
    inputs, targets = (each.chunk(dist.get_world_size())[dist.get_rank()] for each in batch(step))
    return inputs.to(device), targets.to(device)


def wrapped(model: nn.Module, **options: Any) -> DistributedDataParallel:
    return DistributedDataParallel(model, bucket_cap_mb=0.02, **options)


def trained(model: nn.Module, device: torch.device = DEVICE, steps: int = STEPS) -> Losses:
    def loss_of(step: int) -> Tensor:
        inputs, targets = own_batch(step, device)
        return cross_entropy(model(inputs), targets)

    return train(loss_of, adamw(model.parameters()), steps)


@way
def bucket_views() -> Losses:
    model = wrapped(build_llama().to(DEVICE), gradient_as_bucket_view=True)
    return trained(model)


@way
def static_graph() -> Losses:
    """With a layer that is used twice by the backward pass: reentrant checkpointing needs a static graph."""
    llama = build_llama().to(DEVICE)
    for layer in llama.model.layers:
        forward = layer.forward
        layer.forward = lambda *inputs, forward=forward: checkpoint(forward, *inputs, use_reentrant=True)
    return trained(wrapped(llama, static_graph=True))


@way
def no_sync() -> Losses:
    """Two halves of a rank's part, the first of which is not reduced."""
    model = wrapped(build_llama().to(DEVICE))
    optimizer = adamw(model.parameters())
    losses = []
    for step in range(STEPS):
        halves = [each.chunk(2) for each in own_batch(step)]
        parts = list(zip(*halves, strict=True))
        with model.no_sync():
            first = cross_entropy(model(parts[0][0]), parts[0][1]) / 2
            first.backward()
        second = cross_entropy(model(parts[1][0]), parts[1][1]) / 2
        second.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(mean_over_ranks(first + second))
    return losses


class Branches(nn.Module):
    """Takes one of two layers by turns, so that the other one has no gradient."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Linear(32, 32) for _ in range(2))
        self.out = nn.Linear(32, 8)

    def forward(self, x: Tensor, which: int) -> Tensor:
        return self.out(self.layers[which](x).relu())


@way
def unused_parameters() -> Result:
    """Both ranks take the same branch, then each its own."""

    def run(device: torch.device) -> Losses:
        model = DistributedDataParallel(Branches().to(device), find_unused_parameters=True)
        generator = torch.Generator().manual_seed(dist.get_rank())
        inputs = [torch.randn(4, 32, generator=generator).to(device) for _ in range(STEPS)]

        def loss_of(step: int) -> Tensor:
            which = step % 2 if step < STEPS // 2 else dist.get_rank()
            return model(inputs[step], which).square().mean()

        return train(loss_of, adamw(model.parameters()))

    return run(DEVICE), run(torch.device("cpu"))


def on_both(hook: Any, state_of: Any = lambda: None, **options: Any) -> Result:
    """With a communication hook: on the device, and by Gloo on the CPU."""
    results = []
    for device in (DEVICE, torch.device("cpu")):
        model = DistributedDataParallel(build_llama().to(device), **options)
        model.register_comm_hook(state_of(), hook)
        results.append(trained(model, device))
    return results[0], results[1]


@way
def fp16_compress() -> Result:
    return on_both(default_hooks.fp16_compress_hook, bucket_cap_mb=0.02)


@way
def bf16_compress() -> Result:
    """Through a function of another name: torch refuses the hook by its name on devices but CUDA and XPU."""

    def hook(state: Any, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:
        return default_hooks.bf16_compress_hook(state, bucket)

    return on_both(hook, bucket_cap_mb=0.02)


@way
def power_sgd() -> Result:
    """In one bucket: on the CPU, the hook's collectives of several come in any order."""
    return on_both(
        powerSGD_hook.powerSGD_hook,
        lambda: powerSGD_hook.PowerSGDState(None, matrix_approximation_rank=2, start_powerSGD_iter=4),
    )


@way
def uneven_inputs() -> Result:
    """The last rank has two steps more than the first; who has none left gives zeros."""

    def run(device: torch.device) -> Losses:
        model = wrapped(build_llama().to(device))
        optimizer = adamw(model.parameters())
        losses = []
        with Join([model]):
            for step in range(STEPS - 2 + 2 * dist.get_rank()):
                inputs, targets = own_batch(step, device)
                loss = cross_entropy(model(inputs), targets)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                losses.append(loss.item())
        last = torch.tensor(losses[STEPS - 3], device=device)
        return [mean_over_ranks(last)]

    return run(DEVICE), run(torch.device("cpu"))


@way
def zero_redundancy() -> Losses:
    """Each rank keeps the optimiser's state of its part of the parameters."""
    model = wrapped(build_llama().to(DEVICE))
    optimizer = ZeroRedundancyOptimizer(model.parameters(), torch.optim.AdamW, lr=3e-3)

    def loss_of(step: int) -> Tensor:
        inputs, targets = own_batch(step)
        return cross_entropy(model(inputs), targets)

    losses = train(loss_of, optimizer)
    kept = sum(len(state) > 0 for state in optimizer.optim.state.values())
    assert 0 < kept < len(list(model.parameters()))
    return losses


@way
def timers() -> Losses:
    """What DDP's logger says of a step, in nanoseconds of chip time."""
    model = wrapped(build_llama().to(DEVICE))
    model._set_ddp_runtime_logging_sample_rate(1)
    before = torch.mtia_sim.perf_counters()["elapsed_seconds"]
    losses = trained(model)
    elapsed = torch.mtia_sim.perf_counters()["elapsed_seconds"] - before
    said = model._get_ddp_logging_data()
    parts = {part: said[f"avg_{part}_time"] for part in ("forward_compute", "backward_compute", "backward_comm")}
    assert all(nanoseconds > 0 for nanoseconds in parts.values()), said
    assert (parts["forward_compute"] + parts["backward_compute"]) * 1e-9 * STEPS < elapsed
    assert 0 < said["avg_backward_compute_comm_overlap_time"] <= parts["backward_comm"]
    return losses


if __name__ == "__main__":
    main()
