"""How processes share the training of one Llama: a plan is what changes in a step, and nothing else does."""

import os
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint import state_dict as states
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Replicate, Shard
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    PrepareModuleInput,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)

from .options import TENSOR_RANKS, Options

LossOf = Callable[[nn.Module, Tensor, Tensor], Tensor]
State = dict[str, Any]


class Plan:
    """One process, and what all plans have in common: parameters and a batch that are dealt to ranks, or are not."""

    rank = 0
    ranks = 1
    batch_parts = 1  # among how many a batch is dealt
    batch_part = 0
    keeps_part = False  # of the parameters

    @property
    def speaks(self) -> bool:
        return self.rank == 0

    def say(self, text: str) -> None:
        if self.speaks:
            print(text, flush=True)

    def prepare(self, model: nn.Module) -> nn.Module:
        """The module that this rank trains."""
        return model

    def loss(self, model: nn.Module, inputs: Tensor, targets: Tensor, loss_of: LossOf, backward: bool) -> Tensor:
        """Mean loss of a batch of all ranks, with gradients where `backward`."""
        inputs, targets = (each.chunk(self.batch_parts)[self.batch_part] for each in (inputs, targets))
        loss = loss_of(model, inputs, targets)
        if backward:
            loss.backward()
        return self.mean(loss.detach())

    def mean(self, loss: Tensor) -> Tensor:
        if self.batch_parts > 1:
            dist.all_reduce(loss)  # ranks that have the same part of the batch have the same loss
            loss /= self.ranks
        return loss

    def clip(self, model: nn.Module, largest: float) -> None:
        """Scales gradients so that their norm, over all ranks, is at most `largest`."""
        nn.utils.clip_grad_norm_(model.parameters(), largest)

    def whole_states(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[State, State]:
        """State dicts by parameters' names as one process has them, on the CPU of rank 0; empty on others."""
        options = states.StateDictOptions(full_state_dict=True, cpu_offload=True)
        return (
            states.get_model_state_dict(model, options=options),
            states.get_optimizer_state_dict(model, optimizer, options=options),
        )

    def load_whole_states(self, model: nn.Module, optimizer: torch.optim.Optimizer, both: tuple[State, State]) -> None:
        options = states.StateDictOptions(full_state_dict=True)
        states.set_model_state_dict(model, both[0], options=options)
        states.set_optimizer_state_dict(model, optimizer, both[1], options=options)

    def sum(self, number: float) -> float:
        """Over all ranks."""
        if self.ranks == 1:
            return number
        numbers: list[float] = [0.0] * self.ranks
        dist.all_gather_object(numbers, number)
        return sum(numbers)

    def close(self) -> None:
        if self.ranks > 1:
            dist.barrier()
        if dist.is_initialized():
            dist.destroy_process_group()


class Distributed(Plan):
    """A rank of those that torchrun started."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        dist.init_process_group()
        self.rank, self.ranks = dist.get_rank(), dist.get_world_size()

    def mesh(self, **sizes: int) -> DeviceMesh:
        return init_device_mesh(self.device.type, tuple(sizes.values()), mesh_dim_names=tuple(sizes))


class DataParallel(Distributed):
    """Each rank has the model and a part of the batch; gradients are averaged."""

    def prepare(self, model: nn.Module) -> nn.Module:
        self.batch_parts, self.batch_part = self.ranks, self.rank
        return nn.parallel.DistributedDataParallel(model)


class FullyShardedDataParallel(Distributed):
    """Each rank has a part of every parameter and a part of the batch; a layer is gathered while it is used."""

    keeps_part = True

    def prepare(self, model: nn.Module) -> nn.Module:
        self.batch_parts, self.batch_part = self.ranks, self.rank
        shard_layers(model, self.mesh(data=self.ranks))
        return model


class TensorParallel(Distributed):
    """Each rank has some heads and columns of every layer; activations between are dealt along the sequence."""

    keeps_part = True

    def prepare(self, model: nn.Module) -> nn.Module:
        cut_layers(model, self.mesh(tensor=self.ranks))
        return model


class FullyShardedTensorParallel(Distributed):
    """Tensor parallel among TENSOR_RANKS neighbours, fully sharded among the ranks that have the same heads."""

    keeps_part = True

    def prepare(self, model: nn.Module) -> nn.Module:
        mesh = self.mesh(data=self.ranks // TENSOR_RANKS, tensor=TENSOR_RANKS)
        self.batch_parts, self.batch_part = mesh["data"].size(), mesh["data"].get_local_rank()
        cut_layers(model, mesh["tensor"])
        shard_layers(model, mesh["data"])
        return model


def shard_layers(model: Any, mesh: DeviceMesh) -> None:
    for layer in model.model.layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)


def cut_layers(model: Any, mesh: DeviceMesh) -> None:
    """The usual plan of a Llama with sequence parallel norms; all parameters are on the mesh."""
    tied = model.lm_head.weight is model.model.embed_tokens.weight
    embedding = RowwiseParallel(input_layouts=Replicate(), output_layouts=Shard(1))
    head = ColwiseParallel(input_layouts=Shard(1), output_layouts=Replicate())
    plan = {"model.embed_tokens": embedding, "model.norm": SequenceParallel(), "lm_head": head}
    parallelize_module(model, mesh, plan)
    if tied:
        model.lm_head.weight = model.model.embed_tokens.weight  # both cut by rows of the vocabulary
    for layer in model.model.layers:
        columns = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj")
        rows = ("self_attn.o_proj", "mlp.down_proj")
        whole: dict[str, Any] = {"input_layouts": (Shard(1),), "desired_input_layouts": (Replicate(),)}
        rotary: dict[str, Any] = {name: (*layouts, None, None) for name, layouts in whole.items()}
        of_layer = {
            **{name: ColwiseParallel() for name in columns},
            **{name: RowwiseParallel(output_layouts=Shard(1)) for name in rows},
            "input_layernorm": SequenceParallel(),
            "post_attention_layernorm": SequenceParallel(),
            "self_attn": PrepareModuleInput(**rotary),
            "mlp": PrepareModuleInput(**whole),
        }
        parallelize_module(layer, mesh, of_layer)


def open_plan(options: Options, device: torch.device) -> Plan:
    """The plan of --parallel; joins the other processes where there are some."""
    if options.parallel == "none":
        return Plan()
    if device.type != "cpu":
        local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        torch.accelerator.set_device_index(local_rank % torch.accelerator.device_count())
    if options.parallel == "pp":
        from .pipeline import Pipeline

        return Pipeline(options, device)
    kinds = {
        "ddp": DataParallel,
        "fsdp": FullyShardedDataParallel,
        "tp": TensorParallel,
        "fsdp+tp": FullyShardedTensorParallel,
    }
    return kinds[options.parallel](device)
