"""A layer of Llama 4 Scout that decodes, a workload for `compare` and `design`: FILE.py:layer.

Sizes are those of the published configuration: 17e9 of 109e9 parameters work on a token, one of 16 experts and a shared
one in each of 48 layers. Tokens go to the experts in equal parts.
"""

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

HIDDEN, HEADS, KEY_VALUE_HEADS, HEAD, EXPERT, EXPERTS = 5120, 40, 8, 128, 8192, 16
SEQUENCES, CONTEXT = 64, 4096


def normed(x: Tensor) -> Tensor:
    """Root mean square normalisation; its weights change no time."""
    return F.rms_norm(x, (HIDDEN,))


@functools.cache
def decoder() -> Callable[[], Tensor]:
    """A function that moves SEQUENCES tokens, each behind CONTEXT others, through the layer."""

    def weights(*shape: int) -> Tensor:
        return torch.empty(shape, dtype=torch.bfloat16, device="mtia_sim")

    query_key_value = weights((HEADS + 2 * KEY_VALUE_HEADS) * HEAD, HIDDEN)
    output, router = weights(HIDDEN, HEADS * HEAD), weights(EXPERTS, HIDDEN)
    gate_up, down = weights(EXPERTS, HIDDEN, 2 * EXPERT), weights(EXPERTS, EXPERT, HIDDEN)
    shared_gate_up, shared_down = weights(2 * EXPERT, HIDDEN), weights(HIDDEN, EXPERT)
    keys, values = (weights(SEQUENCES, KEY_VALUE_HEADS, CONTEXT, HEAD) for _ in range(2))
    token = weights(SEQUENCES, HIDDEN)

    def attention(x: Tensor) -> Tensor:
        query, _, _ = F.linear(x, query_key_value).split(
            [HEADS * HEAD, KEY_VALUE_HEADS * HEAD, KEY_VALUE_HEADS * HEAD], -1
        )
        query = query.view(SEQUENCES, HEADS, 1, HEAD)
        mixed = F.scaled_dot_product_attention(query, keys, values, enable_gqa=True)
        return F.linear(mixed.reshape(SEQUENCES, HEADS * HEAD), output)

    def feed_forward(x: Tensor) -> Tensor:
        score = F.linear(x, router).amax(-1, keepdim=True).sigmoid()
        gate, up = torch.bmm((x * score).view(EXPERTS, -1, HIDDEN), gate_up).chunk(2, -1)
        routed = torch.bmm(F.silu(gate) * up, down).view(SEQUENCES, HIDDEN)
        gate, up = F.linear(x, shared_gate_up).chunk(2, -1)
        return routed + F.linear(F.silu(gate) * up, shared_down)

    def step() -> Tensor:
        x = token + attention(normed(token))
        return x + feed_forward(normed(x))

    return torch.no_grad()(step)


def layer() -> None:
    """SEQUENCES tokens through one layer."""
    decoder()()
