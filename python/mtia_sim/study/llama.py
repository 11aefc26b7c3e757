"""A plain Llama at the published sizes, with a key-value cache, for studies of training and serving."""

from dataclasses import dataclass

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
    """Root mean square normalisation of the last dimension."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden))

    def forward(self, x: Tensor) -> Tensor:
        """x [..., hidden]."""
        return F.rms_norm(x, self.weight.shape, self.weight, 1e-5)


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


class Layer(nn.Module):
    """Attention and a gated feed-forward network, each behind a norm and beside a residual."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        grouped = size.key_value_heads * size.head
        self.attention_norm, self.feed_forward_norm = RMSNorm(size.hidden), RMSNorm(size.hidden)
        self.query, self.output = (nn.Linear(size.hidden, size.hidden, bias=False) for _ in range(2))
        self.key, self.value = (nn.Linear(size.hidden, grouped, bias=False) for _ in range(2))
        self.gate, self.up = (nn.Linear(size.hidden, size.intermediate, bias=False) for _ in range(2))
        self.down = nn.Linear(size.intermediate, size.hidden, bias=False)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor, cache: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """x [batch, sequence, hidden]; with a cache of keys and values x is what follows it."""
        batch, sequence, hidden = x.shape
        normed = self.attention_norm(x)
        query, key, value = (
            projection(normed).view(batch, sequence, -1, self.size.head).transpose(1, 2)
            for projection in (self.query, self.key, self.value)
        )
        query, key = rotate(query, cosine, sine), rotate(key, cosine, sine)
        if cache is not None:
            key, value = torch.cat((cache[0], key), 2), torch.cat((cache[1], value), 2)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=cache is None, enable_gqa=True)
        x = x + self.output(mixed.transpose(1, 2).reshape(batch, sequence, hidden))
        normed = self.feed_forward_norm(x)
        return x + self.down(F.silu(self.gate(normed)) * self.up(normed))


class Llama(nn.Module):
    """Tokens to logits; of every `recompute` layers one keeps only its input for the backward pass, of 0 none."""

    def __init__(self, size: Size, positions: int, recompute: int = 0) -> None:
        super().__init__()
        self.recompute = recompute
        self.embedding = nn.Embedding(size.vocabulary, size.hidden)
        self.layers = nn.ModuleList(Layer(size) for _ in range(size.layers))
        self.norm = RMSNorm(size.hidden)
        self.head = nn.Linear(size.hidden, size.vocabulary, bias=False)
        cosine, sine = rotary_tables(size, positions)
        self.cosine: Tensor
        self.sine: Tensor
        self.register_buffer("cosine", cosine.to(self.head.weight), persistent=False)
        self.register_buffer("sine", sine.to(self.head.weight), persistent=False)

    def forward(
        self, tokens: Tensor, first: int = 0, caches: list[tuple[Tensor, Tensor]] | None = None, last: bool = False
    ) -> Tensor:
        """Logits [batch, sequence, vocabulary] of tokens [batch, sequence] at positions from `first` on.

        caches: Keys and values of earlier positions, for each layer. last: only the last token's logits.
        """
        x = self.embedding(tokens)
        place = slice(first, first + tokens.shape[1])
        cosine, sine = self.cosine[place], self.sine[place]
        for number, layer in enumerate(self.layers):
            if self.recompute and number % self.recompute == 0 and torch.is_grad_enabled():
                x = checkpoint(layer, x, cosine, sine, use_reentrant=False)
            else:
                x = layer(x, cosine, sine, None if caches is None else caches[number])
        logits: Tensor = self.head(self.norm(x[:, -1:] if last else x))
        return logits
