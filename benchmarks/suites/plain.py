"""The plain kernels of suite `triton`: how each is launched, and what CPU torch says of its result."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import triton
from torch import Tensor

from .measure import Call, Case
from .triton_kernels import add_vectors, matmul_tiles, softmax_rows

SUITE = "triton"
M = 1 << 20


@dataclass(frozen=True)
class Plain:
    """A float32 kernel on standard normal inputs of the given shapes.

    `kernel(out, *inputs)` launches it into `out`, `torch_call(*inputs)` is the same computation in torch.
    """

    name: str
    shape: str
    inputs: tuple[tuple[int, ...], ...]
    kernel: Callable[..., None]
    torch_call: Callable[..., Tensor]
    flops: int = 0
    bytes: int = 0

    def tensors(self, device: torch.device) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(0)
        return tuple(torch.randn(shape, generator=generator).to(device) for shape in self.inputs)

    def launch(self, device: torch.device) -> Call:
        """A call of the kernel on `device`, into an output that starts as NaN."""
        inputs = self.tensors(device)
        out = torch.full_like(inputs[0], float("nan"))

        def call() -> Tensor:
            self.kernel(out, *inputs)
            return out

        return call

    def reference(self, device: torch.device) -> Call:
        inputs = self.tensors(device)
        return lambda: self.torch_call(*inputs)

    def case(self) -> Case:
        """The kernel on the device; torch's own operator on the CPU."""

        def build(device: torch.device) -> Call:
            return self.reference(device) if device.type == "cpu" else self.launch(device)

        return Case(SUITE, self.name, "float32", self.shape, build, self.flops, self.bytes)


def add(out: Tensor, first: Tensor, second: Tensor) -> None:
    count = out.numel()
    add_vectors[(triton.cdiv(count, 1024),)](first, second, out, count, BLOCK=1024)


def softmax(out: Tensor, x: Tensor) -> None:
    rows, columns = x.shape
    block = triton.next_power_of_2(columns)
    softmax_rows[(rows,)](out, x, x.stride(0), out.stride(0), columns, BLOCK=block)


def matmul(out: Tensor, a: Tensor, b: Tensor) -> None:
    (rows, depth), columns = a.shape, b.shape[1]
    grid = (triton.cdiv(rows, 64), triton.cdiv(columns, 64))
    strides = (a.stride(0), b.stride(0), out.stride(0))
    matmul_tiles[grid](a, b, out, rows, columns, depth, *strides, BLOCK_M=64, BLOCK_N=64, BLOCK_K=64)


PLAIN = {
    plain.name: plain
    for plain in (
        Plain("plain_add", str(M), ((M,), (M,)), add, torch.add, 0, 12 * M),
        Plain("plain_softmax", "1024x1024", ((1024, 1024),), softmax, lambda x: torch.softmax(x, -1), 0, 8 * M),
        Plain("plain_matmul", "512x512x512", ((512, 512), (512, 512)), matmul, torch.matmul, 2 * 512**3),
    )
}
