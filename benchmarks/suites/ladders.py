"""The kernel ladders: what each climbs over, the shapes to measure it at, and the chip's account of each step."""

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mtia_core import chips
from mtia_sim_kernels.triton.ladder import attention, softmax

Step = Callable[..., None]


@dataclasses.dataclass(frozen=True)
class Ladder:
    """Steps that compute the same: step(out, *inputs). `flops`, `read` and `written` (bytes) are the least needed."""

    name: str
    title: str
    steps: tuple[Step, ...]
    shape: tuple[int, ...]
    inputs: int
    reference: Callable[..., Tensor]
    flops: int
    read: int
    written: int
    dtype: torch.dtype = torch.bfloat16

    def make(self, shape: tuple[int, ...] | None = None) -> list[Tensor]:
        """Random inputs on the host, always the same."""
        generator = torch.Generator().manual_seed(5)
        size = self.shape if shape is None else shape
        return [torch.randn(size, generator=generator).to(self.dtype) for _ in range(self.inputs)]


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
    busiest: str
    busiest_fraction: float


def causal(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)


def softmax_ladder(name: str, title: str, steps: tuple[Step, ...], rows: int, columns: int) -> Ladder:
    elements = rows * columns
    reference = partial(torch.softmax, dim=1)
    # Maximum, difference, exponential, sum, product.
    return Ladder(name, title, steps, (rows, columns), 1, reference, 5 * elements, 2 * elements, 2 * elements)


def attention_ladder(heads: int, length: int, size: int) -> Ladder:
    flops = 2 * heads * length * length * size  # two products, half of each below the diagonal
    title = f"Causal attention: {heads} heads, length {length}, size {size}, bfloat16"
    tensor = 2 * heads * length * size
    return Ladder("attention", title, attention.STEPS, (heads, length, size), 3, causal, flops, 3 * tensor, tensor)


LADDERS = (
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
    inputs = [tensor.to("mtia_sim") for tensor in host]
    on_chip = max(ladder.flops / properties.peak_flops[ladder.dtype], (ladder.read + ladder.written) / sram)
    from_dram = max(on_chip, ladder.read / properties.memory_bandwidth)
    empty_sram = ColdSram()
    for step in ladder.steps:
        out = torch.full_like(inputs[0], float("nan"))
        step(out, *inputs)
        error = float((out.cpu().float() - expected).norm() / expected.norm())
        if not error < 1e-2:
            raise AssertionError(f"{ladder.name} {step.__name__}: off by {error:.2g} in relative norm")
        empty_sram()
        cold, warm = (account(lambda step=step, out=out: step(out, *inputs)) for _ in range(2))
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
            busiest,
            units[busiest],
        )
