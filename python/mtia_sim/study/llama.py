"""A plain Llama at the published sizes, with a key-value cache, for studies of training and serving."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


@dataclass(frozen=True)
class Size:
    """Shape of a model; `base` of the rotary positions."""

    hidden: int
    layers: int
    heads: int
    key_value_heads: int
    intermediate: int
    vocabulary: int
    base: float = 500000.0

    @property
    def head(self) -> int:
        """Elements of one head."""
        return self.hidden // self.heads

    @property
    def matrix_parameters(self) -> int:
        """Weights that each token is multiplied with."""
        attention = 2 * self.hidden * self.hidden + 2 * self.hidden * self.key_value_heads * self.head
        return self.layers * (attention + 3 * self.hidden * self.intermediate) + self.vocabulary * self.hidden

    def of_layers(self, layers: int | None) -> "Size":
        """The same with so many layers; None: with its own."""
        return self if layers is None else replace(self, layers=layers)

    def forward_flops(self, tokens: int, attended: float) -> float:
        """Model FLOPs of `tokens` that attend to `attended` positions each (arXiv:2204.02311, appendix B)."""
        return tokens * (2 * self.matrix_parameters + 4 * self.layers * attended * self.hidden)


# arXiv:2307.09288; arXiv:2407.21783, table 3; arXiv:2404.14219; arXiv:2505.09388 (without its norms of heads).
SIZES = {
    "llama2-7b": Size(4096, 32, 32, 32, 11008, 32000, base=10000.0),
    "llama2-70b": Size(8192, 80, 64, 8, 28672, 32000, base=10000.0),
    "llama3-8b": Size(4096, 32, 32, 8, 14336, 128256),
    "llama3-70b": Size(8192, 80, 64, 8, 28672, 128256),
    "llama3-405b": Size(16384, 126, 128, 8, 53248, 128256),
    "phi3-mini": Size(3072, 32, 32, 32, 8192, 32064, base=10000.0),
    "qwen3-14b": Size(5120, 40, 40, 8, 17408, 151936, base=1000000.0),
}


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


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """x [..., sequence, head] turned by its positions."""
    first, second = x.chunk(2, dim=-1)
    return x * cosine + torch.cat((-second, first), dim=-1) * sine


def rotary_tables(size: Size, positions: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine [positions, head] of the rotary embedding, float32 on the CPU."""
    frequencies = size.base ** (-torch.arange(0, size.head, 2, dtype=torch.float32, device="cpu") / size.head)
    angles = torch.outer(torch.arange(positions, dtype=torch.float32, device="cpu"), frequencies)
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


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

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor, cache: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """x [batch, sequence, hidden]; with a cache of keys and values x is what follows it."""
        query, key, value = (
            projection(x).unflatten(-1, (-1, self.head)).transpose(1, 2)
            for projection in (self.query, self.key, self.value)
        )
        turned = _rotate_written_out if self.written_out else rotate
        query, key = turned(query, cosine, sine), turned(key, cosine, sine)
        if self.written_out:
            key, value = (each.repeat_interleave(self.repeats, 1) for each in (key, value))
        if cache is not None:
            key, value = torch.cat((cache[0], key), 2), torch.cat((cache[1], value), 2)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=cache is None, enable_gqa=True)
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

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor, cache: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """x [batch, sequence, hidden]; with a cache of keys and values x is what follows it."""
        x = x + self.attention(self.attention_norm(x), cosine, sine, cache)
        fed: Tensor = self.feed_forward(self.feed_forward_norm(x))
        return x + fed


class Llama(nn.Module):
    """Tokens to logits; of every `recompute` layers one keeps only its input for the backward pass, of 0 none.

    A stage of a pipeline has `layers` of them, and only the first one an embedding, the last one a head.
    `written_out`: norms, rotations (of complex numbers, in float32) and repeated keys and values are operations of
    their own, as in torchtitan's model of 2024, and nothing fuses them.
    """

    def __init__(
        self,
        size: Size,
        positions: int,
        recompute: int = 0,
        layers: int | None = None,
        is_first: bool = True,
        is_last: bool = True,
        written_out: bool = False,
    ) -> None:
        super().__init__()
        self.recompute = recompute
        self.embedding = nn.Embedding(size.vocabulary, size.hidden) if is_first else None
        self.layers = nn.ModuleList(Layer(size, written_out) for _ in range(size.layers if layers is None else layers))
        self.norm = RMSNorm(size.hidden, written_out) if is_last else None
        self.head = nn.Linear(size.hidden, size.vocabulary, bias=False) if is_last else None
        cosine, sine = rotary_tables(size, positions)
        self.cosine: Tensor
        self.sine: Tensor
        like = torch.empty(0)  # where and in which dtype the weights are
        self.register_buffer("cosine", cosine.to(like), persistent=False)
        self.register_buffer("sine", sine.to(like), persistent=False)

    def forward(
        self, tokens: Tensor, first: int = 0, caches: list[tuple[Tensor, Tensor]] | None = None, last: bool = False
    ) -> Tensor:
        """Logits [batch, sequence, vocabulary] of tokens [batch, sequence] at positions from `first` on.

        A stage that is not the first takes what the one before it gives, [batch, sequence, hidden].

        caches: Keys and values of earlier positions, for each layer. last: only the last token's logits.
        """
        x = tokens if self.embedding is None else self.embedding(tokens)
        place = slice(first, first + tokens.shape[1]) if self.embedding is not None else slice(first, None)
        cosine, sine = self.cosine[place], self.sine[place]
        for number, layer in enumerate(self.layers):
            if self.recompute and number % self.recompute == 0 and torch.is_grad_enabled():
                x = checkpoint(layer, x, cosine, sine, use_reentrant=False)
            else:
                x = layer(x, cosine, sine, None if caches is None else caches[number])
        if self.head is None or self.norm is None:
            return x
        logits: Tensor = self.head(self.norm(x[:, -1:] if last else x))
        return logits
