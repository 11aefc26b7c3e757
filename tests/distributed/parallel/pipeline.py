"""torch.distributed.pipelining: the schedules, with one stage a rank and with two."""

import copy
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import pipelining
from torch.distributed.pipelining import schedules

from examples.llama.model import Llama
from tests.distributed.parallel.harness import (
    DEVICE,
    STEPS,
    Losses,
    adamw,
    batch,
    build_llama,
    cross_entropy,
    main,
    way,
)

MICROBATCHES = 4


class Part(nn.Module):
    """Some of a Llama's layers; the first part begins with the embedding, the last ends with the head."""

    def __init__(self, llama: Llama, index: int, parts: int) -> None:
        super().__init__()
        decoder = llama.model
        layers = len(decoder.layers) // parts
        self.embed_tokens = decoder.embed_tokens if index == 0 else None
        self.layers = decoder.layers[index * layers : (index + 1) * layers]
        self.norm, self.lm_head = (decoder.norm, llama.lm_head) if index == parts - 1 else (None, None)
        self.register_buffer("cosine", decoder.cosine, persistent=False)
        self.register_buffer("sine", decoder.sine, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.embed_tokens is not None:
            x = self.embed_tokens(x)
        for layer in self.layers:
            x = layer(x, self.cosine, self.sine)
        return x if self.norm is None else self.lm_head(self.norm(x))


def trained(kind: Any, stages: list[int], parts: int, steps: int = STEPS) -> Losses:
    """With the stages of this rank, numbers among `parts`; a schedule gives the losses where the last stage is."""
    llama = build_llama()
    own = [copy.deepcopy(Part(llama, stage, parts)).to(DEVICE) for stage in stages]
    built = [pipelining.PipelineStage(part, stage, parts, DEVICE) for part, stage in zip(own, stages, strict=True)]
    is_single = issubclass(kind, schedules.PipelineScheduleSingle)
    schedule = kind(built[0] if is_single else built, MICROBATCHES, loss_fn=cross_entropy)
    optimizer = adamw([parameter for part in own for parameter in part.parameters()])
    losses = []
    for step in range(steps):
        inputs, targets = (each.to(DEVICE) for each in batch(step))
        parts_of_loss: list[Tensor] = []
        arguments = (inputs,) if 0 in stages else ()
        labels = {"target": targets, "losses": parts_of_loss} if parts - 1 in stages else {}
        schedule.step(*arguments, **labels)
        optimizer.step()
        optimizer.zero_grad()
        loss = torch.stack(parts_of_loss).mean() if labels else torch.zeros((), device=DEVICE)
        dist.all_reduce(loss)
        losses.append(loss.item())
    return losses


def one_stage(kind: Any) -> Losses:
    return trained(kind, [dist.get_rank()], dist.get_world_size())


def two_stages(kind: Any) -> Losses:
    """Ranks take turns: 0 1 0 1."""
    rank, size = dist.get_rank(), dist.get_world_size()
    return trained(kind, [rank, rank + size], 2 * size)


def there_and_back(kind: Any) -> Losses:
    """Rank 0 has the first stage and the last: 0 1 1 0."""
    rank, size = dist.get_rank(), dist.get_world_size()
    return trained(kind, [rank, 2 * size - 1 - rank], 2 * size)


@way
def gpipe() -> Losses:
    return one_stage(schedules.ScheduleGPipe)


@way
def one_forward_one_backward() -> Losses:
    return one_stage(schedules.Schedule1F1B)


@way
def interleaved_1f1b() -> Losses:
    return two_stages(schedules.ScheduleInterleaved1F1B)


@way
def looped_breadth_first() -> Losses:
    return two_stages(schedules.ScheduleLoopedBFS)


@way
def interleaved_zero_bubble() -> Losses:
    return two_stages(schedules.ScheduleInterleavedZeroBubble)


@way
def zero_bubble_v() -> Losses:
    return there_and_back(schedules.ScheduleZBVZeroBubble)


@way
def dual_pipe_v() -> Losses:
    return there_and_back(schedules.ScheduleDualPipeV)


if __name__ == "__main__":
    main()
