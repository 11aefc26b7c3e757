"""A plain Llama: RMSNorm, rotary positions, grouped-query attention, SwiGLU, tied or untied head.

Parameters carry the names that transformers' LlamaForCausalLM gives them, so state dicts go both ways.
"""

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from .sizes import Size

ROPE_BASE = 10000.0
NORM_EPSILON = 1e-5
INITIAL_DEVIATION = 0.02


class RMSNorm(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden))

    def forward(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x, self.weight.shape, self.weight, NORM_EPSILON)


def rotary_tables(positions: int, dimension: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines [positions, dimension] of the rotary embedding; the two halves of a row are equal."""
    frequencies = ROPE_BASE ** (-torch.arange(0, dimension, 2, dtype=torch.float32) / dimension)
    angles = torch.outer(torch.arange(positions, dtype=torch.float32), frequencies)
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotary embedding of x [batch, heads, sequence, dimension]; element i is paired with i + dimension / 2."""
    first, second = x.chunk(2, dim=-1)
    return x * cosine + torch.cat((-second, first), dim=-1) * sine


class Attention(nn.Module):
    def __init__(self, size: Size) -> None:
        super().__init__()
        self.head_dimension = size.head_dimension
        key_value = size.key_value_heads * size.head_dimension
        self.q_proj = nn.Linear(size.hidden, size.hidden, bias=False)
        self.k_proj = nn.Linear(size.hidden, key_value, bias=False)
        self.v_proj = nn.Linear(size.hidden, key_value, bias=False)
        self.o_proj = nn.Linear(size.hidden, size.hidden, bias=False)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        batch, sequence, _ = x.shape
        heads_first = (batch, sequence, -1, self.head_dimension)  # -1: a tensor parallel rank has some of the heads
        query = self.q_proj(x).view(heads_first).transpose(1, 2)
        key = self.k_proj(x).view(heads_first).transpose(1, 2)
        value = self.v_proj(x).view(heads_first).transpose(1, 2)
        query, key = rotate(query, cosine, sine), rotate(key, cosine, sine)
        mixed = functional.scaled_dot_product_attention(
            query, key.to(query.dtype), value.to(query.dtype), is_causal=True, enable_gqa=True
        )
        return self.o_proj(mixed.transpose(1, 2).reshape(batch, sequence, -1))


class FeedForward(nn.Module):
    def __init__(self, size: Size) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(size.hidden, size.intermediate, bias=False)
        self.up_proj = nn.Linear(size.hidden, size.intermediate, bias=False)
        self.down_proj = nn.Linear(size.intermediate, size.hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, size: Size) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(size.hidden)
        self.self_attn = Attention(size)
        self.post_attention_layernorm = RMSNorm(size.hidden)
        self.mlp = FeedForward(size)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cosine, sine)
        return x + self.mlp(self.post_attention_layernorm(x))


class Decoder(nn.Module):
    def __init__(self, size: Size, vocabulary: int, positions: int) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(vocabulary, size.hidden)
        self.layers = nn.ModuleList(Layer(size) for _ in range(size.layers))
        self.norm = RMSNorm(size.hidden)
        cosine, sine = rotary_tables(positions, size.head_dimension)
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        sequence = tokens.shape[1]
        x = self.embed_tokens(tokens)
        cosine, sine = self.cosine[:sequence].to(x.dtype), self.sine[:sequence].to(x.dtype)
        for layer in self.layers:
            x = layer(x, cosine, sine)
        return self.norm(x)


class Llama(nn.Module):
    """Llama language model of a size; sequences are at most `positions` tokens long."""

    def __init__(self, size: Size, vocabulary: int, positions: int) -> None:
        super().__init__()
        self.model = Decoder(size, vocabulary, positions)
        self.lm_head = nn.Linear(size.hidden, vocabulary, bias=False)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=INITIAL_DEVIATION)
        if size.tied_head:
            self.lm_head.weight = self.model.embed_tokens.weight

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits [batch, sequence, vocabulary] of the token after each of tokens [batch, sequence], int64."""
        return self.lm_head(self.model(tokens))
