"""fully_shard (FSDP2) with its options, and FullyShardedDataParallel (FSDP1)."""

import functools
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import apply_activation_checkpointing
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import (
    CPUOffload,
    CPUOffloadPolicy,
    FullyShardedDataParallel,
    MixedPrecision,
    MixedPrecisionPolicy,
    ShardingStrategy,
    fully_shard,
)
from torch.distributed.fsdp.wrap import ModuleWrapPolicy
from torch.distributed.tensor import distribute_tensor

from examples.llama.model import Layer, Llama
from tests.distributed.parallel.harness import (
    DEVICE,
    SEQUENCE,
    SIZE,
    STEPS,
    VOCABULARY,
    Losses,
    Result,
    adamw,
    batch,
    build_llama,
    cross_entropy,
    main,
    train,
    way,
)

GRADIENT_NORM = 0.5


def sharded(llama: Llama, **options: Any) -> Llama:
    for layer in llama.model.layers:
        fully_shard(layer, **options)
    return fully_shard(llama, **options)


def own_loss(model: nn.Module, step: int, device: torch.device = DEVICE) -> Tensor:
    parts = (each.chunk(dist.get_world_size())[dist.get_rank()].to(device) for each in batch(step))
    inputs, targets = parts
    return cross_entropy(model(inputs).float(), targets)


def trained(model: nn.Module, steps: int = STEPS) -> Losses:
    return train(lambda step: own_loss(model, step), adamw(model.parameters()), steps)


@way
def reshards_after_forward() -> Losses:
    return trained(sharded(build_llama().to(DEVICE), reshard_after_forward=True))


@way
def reshards_to_parts_after_forward() -> Losses:
    """Between forward and backward each two ranks hold all of a layer."""
    return trained(sharded(build_llama().to(DEVICE), reshard_after_forward=2))


@way
def keeps_after_forward() -> Losses:
    return trained(sharded(build_llama().to(DEVICE), reshard_after_forward=False))


@way
def activation_checkpointing() -> Losses:
    llama = build_llama().to(DEVICE)
    apply_activation_checkpointing(llama, check_fn=lambda module: isinstance(module, Layer))
    return trained(sharded(llama))


@way
def cpu_offload() -> Losses:
    """Parameters, gradients and the optimiser's state lie in host memory."""
    model = sharded(build_llama(), offload_policy=CPUOffloadPolicy(pin_memory=True))
    losses = trained(model)
    assert all(parameter.device.type == "cpu" for parameter in model.parameters())
    return losses


@way
def mixed_precision() -> Result:
    """bfloat16 in layers and collectives, float32 at rest: within one rounding of bfloat16 of the CPU's by Gloo."""
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    results = []
    for device in (DEVICE, torch.device("cpu")):
        mesh = init_device_mesh(device.type, (dist.get_world_size(),))
        model = sharded(build_llama().to(device), mp_policy=policy, mesh=mesh)
        results.append(train(lambda step, m=model, d=device: own_loss(m, step, d), adamw(model.parameters())))
    apart = [abs(got - wanted) / wanted for got, wanted in zip(*results, strict=True)]
    assert max(apart) < torch.finfo(torch.bfloat16).eps, apart
    return results[0], results[0]


@functools.cache
def clipped_reference() -> Losses:
    """One CPU with the gradients' norm clipped."""
    model = build_llama()
    optimizer = adamw(model.parameters())
    losses = []
    for step in range(STEPS):
        inputs, targets = batch(step)
        loss = cross_entropy(model(inputs), targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_NORM)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


@way
def clipped_gradients() -> Result:
    model = sharded(build_llama().to(DEVICE))
    clip = functools.partial(nn.utils.clip_grad_norm_, list(model.parameters()), GRADIENT_NORM)
    return train(lambda step: own_loss(model, step), adamw(model.parameters()), before_step=clip), clipped_reference()


@way
def from_meta_device() -> Losses:
    """Parameters exist as shards alone: made without memory, sharded, then filled from the whole ones."""
    whole = build_llama()
    with torch.device("meta"):
        llama = Llama(SIZE, VOCABULARY, SEQUENCE)
    model = sharded(llama)
    model.to_empty(device=DEVICE)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            full = whole.get_parameter(name).to(DEVICE)
            parameter.copy_(distribute_tensor(full, parameter.device_mesh, parameter.placements))
        for name, buffer in model.named_buffers():
            buffer.copy_(whole.get_buffer(name))
    return trained(model)


@way
def gradient_accumulation() -> Losses:
    """Two halves of a rank's part; gradients are reduced behind the second."""
    model = sharded(build_llama().to(DEVICE))
    optimizer = adamw(model.parameters())

    def loss_of(step: int) -> Tensor:
        parts = [each.chunk(dist.get_world_size())[dist.get_rank()].to(DEVICE) for each in batch(step)]
        halves = list(zip(*(part.chunk(2) for part in parts), strict=True))
        model.set_requires_gradient_sync(False)
        first = cross_entropy(model(halves[0][0]), halves[0][1]) / 2
        first.backward()
        model.set_requires_gradient_sync(True)
        return cross_entropy(model(halves[1][0]), halves[1][1]) / 2 + first.detach()

    return train(loss_of, optimizer)


def fsdp1(llama: nn.Module, **options: Any) -> FullyShardedDataParallel:
    policy = ModuleWrapPolicy({Layer})
    return FullyShardedDataParallel(llama, auto_wrap_policy=policy, device_id=DEVICE, use_orig_params=True, **options)


@way
def fsdp1_full_shard() -> Losses:
    return trained(fsdp1(build_llama()))


@way
def fsdp1_shard_grad_op() -> Losses:
    return trained(fsdp1(build_llama(), sharding_strategy=ShardingStrategy.SHARD_GRAD_OP))


@way
def fsdp1_clipped() -> Result:
    model = fsdp1(build_llama())
    return (
        train(
            lambda step: own_loss(model, step),
            adamw(model.parameters()),
            before_step=lambda: model.clip_grad_norm_(GRADIENT_NORM),
        ),
        clipped_reference(),
    )


@way
def fsdp1_offload() -> Losses:
    return trained(fsdp1(build_llama(), cpu_offload=CPUOffload(offload_params=True)))


@way
def fsdp1_mixed_precision() -> Losses:
    """The dtype of collectives alone, so that the losses stay float32's."""
    return trained(fsdp1(build_llama(), mixed_precision=MixedPrecision(reduce_dtype=torch.float32)))


if __name__ == "__main__":
    main()
