"""python -m tests.fuzz.operator_paths: one line an operator and dtype, a digest of its results and its chip time.

For operators whose kernels are chains with exponentials and reductions of rows, forward and backward. As in
tests.fuzz.paths, the environment chooses what the host runs, and two runs give the same lines.
"""

import hashlib
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as functional
from torch import Tensor

from tests.fuzz.paths import without_nans

_NAMES = {torch.float32: "f32", torch.bfloat16: "bf16", torch.float16: "f16"}


def cases() -> Iterator[tuple[str, list[tuple[int, ...]], Callable[..., Tensor]]]:
    """A name, the shapes of the operands, and the operator."""
    for batch, heads, queries, keys, size in ((1, 2, 300, 300, 64), (2, 1, 77, 130, 40), (1, 1, 16, 513, 128)):
        shapes = [(batch, heads, queries, size), (batch, heads, keys, size), (batch, heads, keys, size)]
        for causal in (False, True):
            yield (
                f"attention {batch}x{heads}x{queries}x{keys}x{size} {causal}",
                shapes,
                lambda q, k, v, causal=causal: functional.scaled_dot_product_attention(q, k, v, is_causal=causal),
            )
    for rows, columns in ((37, 1000), (5, 4096), (64, 16), (3, 17)):
        shape = [(rows, columns)]
        yield f"softmax {rows}x{columns}", shape, lambda x: torch.softmax(x, -1)
        yield f"log_softmax {rows}x{columns}", shape, lambda x: torch.log_softmax(x, -1)
        yield f"logsumexp {rows}x{columns}", shape, lambda x: torch.logsumexp(x, -1)
        yield f"silu {rows}x{columns}", shape, functional.silu
        yield f"rms_norm {rows}x{columns}", shape, lambda x: functional.rms_norm(x, x.shape[-1:])
        yield f"layer_norm {rows}x{columns}", shape, lambda x: functional.layer_norm(x, x.shape[-1:])
        yield f"cross_entropy {rows}x{columns}", shape, lambda x: functional.cross_entropy(x, x.detach().argmin(-1))


def main() -> None:
    """Every few numbers an infinity or a NaN stands in the softmax-like operands."""
    for name, shapes, operator in cases():
        for dtype, short in _NAMES.items():
            torch.manual_seed(len(name))
            host = [torch.randn(shape) * 3 for shape in shapes]
            if len(shapes) == 1:
                host[0].view(-1)[5 :: host[0].shape[-1] * 2 + 1] = -float("inf")
                host[0].view(-1)[7 :: host[0].shape[-1] * 3 + 1] = float("nan")
            operands = [tensor.to(dtype).to("mtia_sim").requires_grad_() for tensor in host]
            result = operator(*operands)
            gradients = torch.autograd.grad(result, operands, torch.ones_like(result))
            digest = hashlib.sha256()
            for tensor in (result, *gradients):
                contents = tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes()
                digest.update(without_nans(contents, short))
            counters = torch.mtia_sim.perf_counters()
            print(name, short, digest.hexdigest()[:16], counters["seconds"], counters["joules"])


if __name__ == "__main__":
    main()
