"""Pipeline parallel training: each rank has some of the layers, and the parts of a batch go from rank to rank."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint import state_dict as states
from torch.distributed.pipelining import PipelineStage, Schedule1F1B

from .model import Llama
from .options import Options
from .parallel import Distributed, LossOf, State

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


class LayersOfLlama(nn.Module):
    """Some of a Llama's layers under the names that they have in it; the first rank embeds, the last has the head."""

    def __init__(self, llama: Any, rank: int, ranks: int, autocasts: bool) -> None:
        super().__init__()
        self.autocasts = autocasts
        self.model, self.lm_head = llama.model, llama.lm_head
        count = len(self.model.layers) // ranks
        own = range(rank * count, (rank + 1) * count)
        self.model.layers = nn.ModuleDict({str(index): self.model.layers[index] for index in own})
        if rank > 0:
            self.model.embed_tokens = None
        if rank < ranks - 1:
            self.model.norm = self.lm_head = None

    def forward(self, x: Tensor) -> Tensor:
        """Of token ids on the first rank, of hidden states on others: hidden states, or logits on the last."""
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.autocasts):
            return self._forward(x)

    def _forward(self, x: Tensor) -> Tensor:
        decoder = self.model
        if decoder.embed_tokens is not None:
            x = decoder.embed_tokens(x)
        cosine, sine = (table[: x.shape[1]].to(x.dtype) for table in (decoder.cosine, decoder.sine))
        for layer in decoder.layers.values():
            x = layer(x, cosine, sine)
        return x if self.lm_head is None else self.lm_head(decoder.norm(x))


class Pipeline(Distributed):
    """One forward, one backward: a rank goes on with the next part of the batch while others have the one before."""

    keeps_part = True

    def __init__(self, options: Options, device: torch.device) -> None:
        super().__init__(device)
        self.microbatches = options.microbatches
        self.is_last = self.rank == self.ranks - 1
        self.autocasts = options.dtype == "amp"
        self.is_tied = options.size.tied_head
        self.ends = dist.new_group([0, self.ranks - 1])
        self.stage: PipelineStage | None = None

    def prepare(self, model: nn.Module) -> nn.Module:
        assert isinstance(model, Llama)
        return LayersOfLlama(model, self.rank, self.ranks, self.autocasts)

    def loss(self, model: nn.Module, inputs: Tensor, targets: Tensor, loss_of: LossOf, backward: bool) -> Tensor:
        if self.stage is None:
            self.stage = PipelineStage(model, self.rank, self.ranks, self.device)

        def loss_of_part(logits: Tensor, targets: Tensor) -> Tensor:
            return loss_of(lambda _: logits, inputs, targets)

        schedule = Schedule1F1B(self.stage, self.microbatches, loss_fn=loss_of_part)
        parts: list[Tensor] = []
        given = (inputs,) if self.rank == 0 else ()
        wanted: dict[str, Any] = {"target": targets, "losses": parts} if self.is_last else {}
        (schedule.step if backward else schedule.eval)(*given, **wanted)
        if backward and self.is_tied and self.ranks > 1:
            self._add_up_tied_gradients(model)
        loss = torch.stack(parts).mean().detach() if parts else torch.zeros((), device=inputs.device)
        dist.broadcast(loss, self.ranks - 1)
        return loss

    def _tied_weight(self, model: Any) -> Tensor | None:
        """The matrix that the first rank embeds by and the last makes logits by, where they are one."""
        if not self.is_tied or self.rank not in (0, self.ranks - 1):
            return None
        return model.model.embed_tokens.weight if self.rank == 0 else model.lm_head.weight

    def _add_up_tied_gradients(self, model: nn.Module) -> None:
        weight = self._tied_weight(model)
        if weight is not None and weight.grad is not None:
            dist.all_reduce(weight.grad, group=self.ends)

    def clip(self, model: nn.Module, largest: float) -> None:
        again = self._tied_weight(model) if self.is_last and self.ranks > 1 else None  # rank 0 counts it
        gradients = [each.grad for each in model.parameters() if each.grad is not None and each is not again]
        norm = nn.utils.get_total_norm(gradients).square()
        dist.all_reduce(norm)
        nn.utils.clip_grads_with_norm_(model.parameters(), largest, norm.sqrt())

    def whole_states(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[State, State]:
        options = states.StateDictOptions(cpu_offload=True)
        own = states.get_model_state_dict(model, options=options)
        own_moments = states.get_optimizer_state_dict(model, optimizer, options=options)
        parts: list[Any] | None = [None] * self.ranks if self.rank == 0 else None
        dist.gather_object((own, own_moments), parts)
        if parts is None:
            return {}, {}
        weights: State = {}
        groups = [{**group, "params": []} for group in parts[0][1]["param_groups"]]
        moments: State = {"state": {}, "param_groups": groups}
        for part, part_moments in parts:
            weights.update(part)
            # What is tied has one state in one process.
            kept = {name for name in part_moments["state"] if not (self.is_tied and name == HEAD)}
            moments["state"].update({name: part_moments["state"][name] for name in kept})
            for group, more in zip(groups, part_moments["param_groups"], strict=True):
                group["params"] += [name for name in more["params"] if name in kept]
        return weights, moments

    def load_whole_states(self, model: nn.Module, optimizer: torch.optim.Optimizer, both: tuple[State, State]) -> None:
        weights, moments = both
        source = {name: name for name, _ in model.named_parameters()}
        if self.is_tied and HEAD in source:
            source[HEAD] = EMBEDDING
        groups = []
        for group in moments["param_groups"]:
            groups.append({**group, "params": [name for name, other in source.items() if other in group["params"]]})
        state = {name: moments["state"][other] for name, other in source.items()}
        own = {name: weights[other] for name, other in source.items()}
        super().load_whole_states(model, optimizer, (own, {"state": state, "param_groups": groups}))
