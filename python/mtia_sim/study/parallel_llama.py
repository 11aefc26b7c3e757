"""A stage of a Llama that many chips train: tensor and sequence parallel as Megatron cuts it (arXiv:2205.05198), its
layers sharded by FSDP2."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from torch.utils.checkpoint import checkpoint

from mtia_sim.study.llama import RMSNorm, Size, rotary_tables, rotate


class _Gather(torch.autograd.Function):
    """The parts of all ranks, one behind the other; backward the sum of a rank's part."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Any) -> Tensor:
        ctx.group = group
        return _gathered(x, group)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _scattered(gradients[0], ctx.group), None


class _Scatter(torch.autograd.Function):
    """A rank's part of the sum over all; backward the parts of all."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Any) -> Tensor:
        ctx.group = group
        return _scattered(x, group)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _gathered(gradients[0], ctx.group), None


class _Sum(torch.autograd.Function):
    """The sum over all ranks, on each; each has then the same gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Any) -> Tensor:
        x = x.clone()
        distributed.all_reduce(x, group=group)
        return x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


def _gathered(x: Tensor, group: Any) -> Tensor:
    out = x.new_empty(x.shape[0] * distributed.get_world_size(group), *x.shape[1:])
    distributed.all_gather_into_tensor(out, x.contiguous(), group=group)
    return out


def _scattered(x: Tensor, group: Any) -> Tensor:
    out = x.new_empty(x.shape[0] // distributed.get_world_size(group), *x.shape[1:])
    distributed.reduce_scatter_tensor(out, x.contiguous(), group=group)
    return out


class TensorParallel:
    """The ranks that share each layer. Between layers each has its part of the tokens."""

    def __init__(self, group: Any) -> None:
        self.group = group
        self.size = 1 if group is None else distributed.get_world_size(group)
        self.rank = 0 if group is None else distributed.get_rank(group)

    def gather(self, x: Tensor) -> Tensor:
        """All tokens [tokens, ...] of parts [tokens / size, ...]."""
        return _Gather.apply(x, self.group) if self.size > 1 else x  # type: ignore[no-any-return,no-untyped-call]

    def scatter(self, x: Tensor) -> Tensor:
        """A part [tokens / size, ...] of the sum of [tokens, ...] over the ranks."""
        return _Scatter.apply(x, self.group) if self.size > 1 else x  # type: ignore[no-any-return,no-untyped-call]

    def sum(self, x: Tensor) -> Tensor:
        """The sum over the ranks."""
        return _Sum.apply(x, self.group) if self.size > 1 else x  # type: ignore[no-any-return,no-untyped-call]

    def greatest(self, x: Tensor) -> Tensor:
        """The greatest over the ranks, without a gradient."""
        x = x.detach().clone()
        if self.size > 1:
            distributed.all_reduce(x, distributed.ReduceOp.MAX, group=self.group)
        return x


class ParallelLayer(nn.Module):
    """A rank's part of one layer: heads and columns of the feed-forward network."""

    def __init__(self, size: Size, parallel: TensorParallel) -> None:
        super().__init__()
        self.size, self.parallel = size, parallel
        hidden, columns = size.hidden, size.intermediate // parallel.size
        queries, grouped = hidden // parallel.size, size.key_value_heads * size.head // parallel.size
        self.attention_norm, self.feed_forward_norm = RMSNorm(hidden), RMSNorm(hidden)
        self.query = nn.Linear(hidden, queries, bias=False)
        self.key, self.value = (nn.Linear(hidden, grouped, bias=False) for _ in range(2))
        self.output = nn.Linear(queries, hidden, bias=False)
        self.gate, self.up = (nn.Linear(hidden, columns, bias=False) for _ in range(2))
        self.down = nn.Linear(columns, hidden, bias=False)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """x [tokens / ranks, hidden] of one sequence."""
        normed = self.parallel.gather(self.attention_norm(x))
        query, key, value = (
            projection(normed).view(1, normed.shape[0], -1, self.size.head).transpose(1, 2)
            for projection in (self.query, self.key, self.value)
        )
        query, key = rotate(query, cosine, sine), rotate(key, cosine, sine)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
        x = x + self.parallel.scatter(self.output(mixed.transpose(1, 2).reshape(normed.shape[0], -1)))
        normed = self.parallel.gather(self.feed_forward_norm(x))
        return x + self.parallel.scatter(self.down(F.silu(self.gate(normed)) * self.up(normed)))


class Stage(nn.Module):
    """So many layers of a model, behind the embedding in the first stage, before the loss in the last."""

    def __init__(
        self,
        size: Size,
        layers: int,
        stage: str,
        positions: int,
        parallel: TensorParallel,
        recompute: int = 0,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        """`layers` of a stage, "first", "middle", "last" or "only"; recompute as of Llama, dtype of numbers at work."""
        super().__init__()
        self.size, self.parallel, self.recompute = size, parallel, recompute
        words = size.vocabulary // parallel.size
        self.first_word = words * parallel.rank
        self.embedding = nn.Embedding(words, size.hidden) if stage in ("first", "only") else None
        self.layers = nn.ModuleList(ParallelLayer(size, parallel) for _ in range(layers))
        is_last = stage in ("last", "only")
        self.norm = RMSNorm(size.hidden) if is_last else None
        self.head = nn.Linear(size.hidden, words, bias=False) if is_last else None
        self.cosine: Tensor
        self.sine: Tensor
        for name, table in zip(("cosine", "sine"), rotary_tables(size, positions), strict=True):
            self.register_buffer(name, table.to(torch.get_default_device(), dtype), persistent=False)

    def forward(self, x: Tensor, targets: Tensor | None = None) -> Tensor:
        """The mean loss in the last stage, else [tokens / ranks, hidden].

        x: Tokens [tokens] of one sequence in the first stage, else [tokens / ranks, hidden]. targets [tokens].
        """
        if self.embedding is not None:
            x = self._embedded(x)
        for number, layer in enumerate(self.layers):
            if self.recompute and number % self.recompute == 0:
                x = checkpoint(layer, x, self.cosine, self.sine, use_reentrant=False)
            else:
                x = layer(x, self.cosine, self.sine)
        if self.head is None or self.norm is None or targets is None:
            return x
        return self._loss(self.head(self.parallel.gather(self.norm(x))).float(), targets)

    def _own_words(self, tokens: Tensor, words: int) -> tuple[Tensor, Tensor]:
        """Places of tokens among this rank's words, and where they are none of its."""
        places = tokens - self.first_word
        strangers = (places < 0) | (places >= words)
        return places.masked_fill(strangers, 0), strangers

    def _embedded(self, tokens: Tensor) -> Tensor:
        assert self.embedding is not None
        places, strangers = self._own_words(tokens, self.embedding.num_embeddings)
        return self.parallel.scatter(self.embedding(places).masked_fill(strangers[:, None], 0))

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy of logits [tokens, words] of which each rank has some words."""
        if self.parallel.size == 1:
            return F.cross_entropy(logits, targets)
        shifted = logits - self.parallel.greatest(logits.max(-1, keepdim=True).values)
        total = self.parallel.sum(shifted.exp().sum(-1))
        places, strangers = self._own_words(targets, logits.shape[-1])
        right = shifted.gather(-1, places[:, None]).squeeze(-1).masked_fill(strangers, 0)
        return (total.log() - self.parallel.sum(right)).mean()


def sum_norm_gradients(stage: Stage) -> None:
    """Adds up what each tensor parallel rank found of its own tokens; behind the backward pass, all in one."""
    if stage.parallel.size == 1:
        return
    norms = [module.weight.grad for module in stage.modules() if isinstance(module, RMSNorm)]
    gradients = [norm.to_local() if isinstance(norm, DTensor) else norm for norm in norms if norm is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat, group=stage.parallel.group)
    for gradient, found in zip(gradients, flat.split([each.numel() for each in gradients]), strict=True):
        gradient.copy_(found.view_as(gradient))


def shard(stage: Stage, mesh: Any, dtype: torch.dtype, keeps_gathered: bool) -> None:
    """FSDP2 over a mesh of one dimension, or of two: copies and shards. Weights at work have `dtype`, gradients are
    summed in float32; layers that `keeps_gathered` stay whole between microbatches."""
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
    for layer in stage.layers:
        fully_shard(layer, mesh=mesh, mp_policy=policy, reshard_after_forward=not keeps_gathered)
    fully_shard(stage, mesh=mesh, mp_policy=policy, reshard_after_forward=not keeps_gathered)
