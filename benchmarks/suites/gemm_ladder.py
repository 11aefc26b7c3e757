"""Launch functions of the C++ ladder in kernels/cpp/ladder: c = a b in bfloat16, one idea a step."""

import functools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

FOLDER = Path(__file__).resolve().parents[2] / "kernels" / "cpp" / "ladder"
M, N, K = 128, 128, 256  # pages of gemm_6_packed.cpp


@functools.cache
def kernel(file: str, name: str = "gemm") -> Any:
    return torch.mtia_sim.load_kernel(FOLDER / f"{file}.cpp", name=name)


def naive(c: Tensor, a: Tensor, b: Tensor) -> None:
    kernel("gemm_1_naive")[()](a, b, c)


def tiled(c: Tensor, a: Tensor, b: Tensor) -> None:
    kernel("gemm_2_tiled")[()](a, b, c)


def double_buffered(c: Tensor, a: Tensor, b: Tensor) -> None:
    kernel("gemm_3_double_buffered")[()](a, b, c)


def multicast(c: Tensor, a: Tensor, b: Tensor) -> None:
    kernel("gemm_4_multicast")[()](a, b, c)


def two_sums(c: Tensor, a: Tensor, b: Tensor) -> None:
    kernel("gemm_5_two_sums")[()](a, b, c)


def pages(count: int, size: int) -> int:
    return -(-count // size)


def pack(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, int]:
    """a and b in the pages that `packed` reads, and k."""
    rows, k = a.shape
    columns = b.shape[1]
    packed_a = a.new_empty(pages(rows, M) * pages(k, K) * M, K)
    packed_b = b.new_empty(pages(k, K) * pages(columns, N) * K, N)
    kernel("gemm_6_packed", "pack_a")[()](a, packed_a)
    kernel("gemm_6_packed", "pack_b")[()](b, packed_b)
    return packed_a, packed_b, k


def packed(c: Tensor, a: Tensor, b: Tensor, k: int) -> None:
    """`a`, `b` and `k` as `pack` gives them."""
    kernel("gemm_6_packed")[()](a, b, c, k)


packed.prepare = pack  # type: ignore[attr-defined]


def reduction_chain(c: Tensor, a: Tensor, b: Tensor) -> None:
    kernel("gemm_reduction_chain")[()](a, b, c)


STEPS = (naive, tiled, double_buffered, multicast, two_sums, packed)
LONG_K = (multicast, reduction_chain)
