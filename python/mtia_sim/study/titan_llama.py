"""A Llama cut into modules as torchtitan's is, so that its plans of parallelism can name them."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mtia_sim.study.llama import Size, rotary_tables, rotate


class RMSNorm(nn.Module):
    """Root mean square normalisation of the last dimension, in one kernel or written out in float32."""

    def __init__(self, hidden: int, written_out: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden))
        self.written_out = written_out

    def forward(self, x: Tensor) -> Tensor:
        """x [..., hidden]."""
        if not self.written_out:
            return F.rms_norm(x, self.weight.shape, self.weight, 1e-5)
        wide = x.float()
        return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-5)).type_as(x) * self.weight


def _rotate_written_out(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    # As complex numbers of neighbours, in float32.
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)).contiguous())
    half = x.shape[-1] // 2
    turns = torch.view_as_complex(torch.stack((cosine[..., :half], sine[..., :half]), dim=-1).float())
    return torch.view_as_real(pairs * turns).flatten(-2).type_as(x)


class Attention(nn.Module):
    """Grouped-query attention; of how many heads, the projections' outputs say."""

    def __init__(self, size: Size, written_out: bool = False) -> None:
        super().__init__()
        self.head, self.repeats, self.written_out = size.head, size.heads // size.key_value_heads, written_out
        grouped = size.key_value_heads * size.head
        self.query, self.output = (nn.Linear(size.hidden, size.hidden, bias=False) for _ in range(2))
        self.key, self.value = (nn.Linear(size.hidden, grouped, bias=False) for _ in range(2))

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """x [batch, sequence, hidden]."""
        query, key, value = (
            projection(x).unflatten(-1, (-1, self.head)).transpose(1, 2)
            for projection in (self.query, self.key, self.value)
        )
        turned = _rotate_written_out if self.written_out else rotate
        query, key = turned(query, cosine, sine), turned(key, cosine, sine)
        if self.written_out:
            key, value = (each.repeat_interleave(self.repeats, 1) for each in (key, value))
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
        projected: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return projected


class FeedForward(nn.Module):
    """A gated feed-forward network."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.gate, self.up = (nn.Linear(size.hidden, size.intermediate, bias=False) for _ in range(2))
        self.down = nn.Linear(size.intermediate, size.hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [batch, sequence, hidden]."""
        projected: Tensor = self.down(F.silu(self.gate(x)) * self.up(x))
        return projected


class Layer(nn.Module):
    """Attention and a feed-forward network, each behind a norm and beside a residual."""

    def __init__(self, size: Size, written_out: bool = False) -> None:
        super().__init__()
        self.attention_norm, self.feed_forward_norm = (RMSNorm(size.hidden, written_out) for _ in range(2))
        self.attention, self.feed_forward = Attention(size, written_out), FeedForward(size)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """x [batch, sequence, hidden]."""
        x = x + self.attention(self.attention_norm(x), cosine, sine)
        fed: Tensor = self.feed_forward(self.feed_forward_norm(x))
        return x + fed


class Llama(nn.Module):
    """Tokens to logits; of a pipeline's stages only the first one has an embedding, and the last one a head.

    `written_out`: norms, rotations (of complex numbers, in float32) and repeated keys and values are operations of
    their own, as in torchtitan's model of 2024 where nothing compiles it.
    """

    def __init__(
        self,
        size: Size,
        positions: int,
        layers: int,
        is_first: bool = True,
        is_last: bool = True,
        written_out: bool = False,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(size.vocabulary, size.hidden) if is_first else None
        self.layers = nn.ModuleList(Layer(size, written_out) for _ in range(layers))
        self.norm = RMSNorm(size.hidden, written_out) if is_last else None
        self.head = nn.Linear(size.hidden, size.vocabulary, bias=False) if is_last else None
        cosine, sine = rotary_tables(size, positions)
        self.cosine: Tensor
        self.sine: Tensor
        like = torch.empty(0)  # where and in which dtype the weights are
        self.register_buffer("cosine", cosine.to(like), persistent=False)
        self.register_buffer("sine", sine.to(like), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [batch, sequence, vocabulary] of tokens [batch, sequence].

        A stage that is not the first takes what the one before it gives, [batch, sequence, hidden].
        """
        if self.embedding is not None:
            x = self.embedding(x)
        for layer in self.layers:
            x = layer(x, self.cosine, self.sine)
        if self.norm is not None and self.head is not None:
            x = self.head(self.norm(x))
        return x
