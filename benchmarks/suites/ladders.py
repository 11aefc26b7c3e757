"""The kernel ladders: what each climbs over, the shapes to measure it at, and the chip's account of each step."""

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mtia_core import chips
from mtia_sim_kernels.triton.ladder import attention, softmax

from . import gemm_ladder

Step = Callable[..., None]


@dataclasses.dataclass(frozen=True)
class Ladder:
    """Steps that compute the same: step(out, *inputs). `flops`, `read` and `written` (bytes) are the least needed."""

    name: str
    title: str
    steps: tuple[Step, ...]
    shapes: tuple[tuple[int, ...], ...]  # of the inputs
    reference: Callable[..., Tensor]
    flops: int
    read: int
    written: int
    dtype: torch.dtype = torch.bfloat16

    def make(self) -> list[Tensor]:
        """Random inputs on the host, always the same."""
        generator = torch.Generator().manual_seed(5)
        return [torch.randn(shape, generator=generator).to(self.dtype) for shape in self.shapes]


def prepared(step: Step, inputs: list[Tensor]) -> tuple[Any, ...]:
    """What a step takes: the inputs, or what its `prepare` makes of them, once."""
    prepare = getattr(step, "prepare", None)
    return tuple(inputs) if prepare is None else prepare(*inputs)


@dataclasses.dataclass(frozen=True)
class Measured:
    """One step on one chip. Times in seconds; `cold`: the SRAM holds nothing of the operands, `warm`: what fits.

    `*_roofline` is the least time over the time taken. The least is that of the FLOPs at the dot product engines' peak,
    of all bytes at SRAM's bandwidth and, cold, of the operands' at DRAM's; results stay in the SRAM. `moved` are the
    bytes between PEs and SRAM, `dram` those beyond it, cold.
    """

    chip: str
    ladder: str
    step: str
    cold: float
    cold_roofline: float
    warm: float
    warm_roofline: float
    moved: int
    dram: int
    flops: int
    useful_flops: int
    busiest: str
    busiest_fraction: float


def causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)


def softmax_ladder(name: str, title: str, steps: tuple[Step, ...], rows: int, columns: int) -> Ladder:
    elements = rows * columns
    reference = partial(torch.softmax, dim=1)
    # Maximum, difference, exponential, sum, product.
    return Ladder(name, title, steps, ((rows, columns),), reference, 5 * elements, 2 * elements, 2 * elements)


def attention_ladder(heads: int, length: int, size: int) -> Ladder:
    flops = 2 * heads * length * length * size  # two products, half of each below the diagonal
    title = f"Causal attention: {heads} heads, length {length}, size {size}, bfloat16"
    tensor = 2 * heads * length * size
    return Ladder("attention", title, attention.STEPS, ((heads, length, size),) * 3, causal, flops, 3 * tensor, tensor)


def gemm(name: str, title: str, steps: tuple[Step, ...], m: int, n: int, k: int) -> Ladder:
    return Ladder(name, title, steps, ((m, k), (k, n)), torch.matmul, 2 * m * n * k, 2 * k * (m + n), 2 * m * n)


def gemm_ladders() -> tuple[Ladder, ...]:
    """C++ kernels: on any chip the grid of PEs takes the blocks of c without a rest."""
    chip = chips.load()
    title = "c = a b in bfloat16: 2048 cubed on a grid of 8 x 8 PEs (mtia2i), 3072 x 1536 x 2048 on 12 x 6 (mtia300)"
    return (
        gemm("gemm", title, gemm_ladder.STEPS, 256 * chip.pe_rows, 256 * chip.pe_columns, 2048),
        gemm("gemm_long_k", "c = a b of 512 x 512 with k = 16384, bfloat16", gemm_ladder.LONG_K, 512, 512, 16384),
    )


TRITON_LADDERS = (
    softmax_ladder("softmax", "Softmax of 16384 rows of 1024, bfloat16", softmax.ROWS_THAT_FIT, 16384, 1024),
    softmax_ladder("long_softmax", "Softmax of 288 rows of 131072, bfloat16", softmax.LONG_ROWS, 288, 131072),
    attention_ladder(144, 1024, 128),
)


def account(call: Callable[[], Any]) -> dict[str, Any]:
    """The chip's account of a call."""
    torch.mtia_sim.synchronize()
    torch.mtia_sim.reset_perf_counters()
    call()
    counters: dict[str, Any] = torch.mtia_sim.perf_counters()
    return counters


class ColdSram:
    """Fills the SRAM with bytes of another tensor that need not go back to DRAM."""

    def __init__(self) -> None:
        words = torch.mtia_sim.get_device_properties().shared_sram // 4
        self.halves = torch.zeros(2, words, dtype=torch.int32, device="mtia_sim")
        self.next = 0

    def __call__(self) -> None:
        # A half is written back when the other one is read; what is read last lies there unchanged.
        for _ in range(2):
            self.halves[self.next].amax()
            self.next = 1 - self.next
        torch.mtia_sim.synchronize()


def measure_ladder(ladder: Ladder) -> Iterator[Measured]:
    """Each step of a ladder on the chip at hand, held against float32 on the host first."""
    properties = torch.mtia_sim.get_device_properties()
    sram = chips.load().sram_bytes_per_second
    host = ladder.make()
    expected = ladder.reference(*(tensor.float() for tensor in host))
    on_device = [tensor.to("mtia_sim") for tensor in host]
    on_chip = max(ladder.flops / properties.peak_flops[ladder.dtype], (ladder.read + ladder.written) / sram)
    from_dram = max(on_chip, ladder.read / properties.memory_bandwidth)
    empty_sram = ColdSram()
    for step in ladder.steps:
        out = torch.full(expected.shape, float("nan"), dtype=ladder.dtype, device="mtia_sim")
        inputs = prepared(step, on_device)
        step(out, *inputs)
        error = float((out.cpu().float() - expected).norm() / expected.norm())
        if not error < 1e-2:
            raise AssertionError(f"{ladder.name} {step.__name__}: off by {error:.2g} in relative norm")
        empty_sram()
        cold, warm = (account(partial(step, out, *inputs)) for _ in range(2))
        moved = warm["bytes"]["sram_read"] + warm["bytes"]["sram_written"]
        dram = cold["bytes"]["dram_read"] + cold["bytes"]["dram_written"]
        units = {name: part for name, part in warm["busy"].items() if name != "host_link"}
        busiest = max(units, key=lambda name: units[name])
        yield Measured(
            properties.name,
            ladder.name,
            step.__name__,
            cold["seconds"],
            from_dram / cold["seconds"],
            warm["seconds"],
            on_chip / warm["seconds"],
            moved,
            dram,
            warm["flops"],
            ladder.flops,
            busiest,
            units[busiest],
        )
