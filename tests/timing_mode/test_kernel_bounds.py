"""Kernels reach most of what bounds them on chips with few PEs and much local memory as on those with many."""

import os
import subprocess
import sys

import pytest

from mtia_core import chips
from mtia_sim import _C
from mtia_sim_kernels.launch_shape import ChipLimits

PREPARE = """
import sys
import torch
import torch.nn.functional as F

torch.mtia_sim.set_mode("timing")

def tensor(*shape, dtype=torch.bfloat16):
    return torch.empty(shape, dtype=dtype, device="mtia_sim")

x = tensor(8192, 4096)
weights = [tensor(4096, 4096).requires_grad_() for _ in range(4)]
for weight in weights:
    weight.grad = torch.empty_like(weight)
adam = torch.optim.AdamW(weights, fused=True)
heads, table = tensor(1, 8192, 32, 64), tensor(8192, 1, 64)
query, key = tensor(4, 16, 8192, 128, dtype=torch.float16), tensor(4, 16, 8192, 128, dtype=torch.float16)
work = {
    "adam": adam.step,
    "copy": lambda: x[:, :2048].contiguous(),
    "softmax": lambda: torch.softmax(x, -1),
    "strided": lambda: heads * table,
    "attention": lambda: F.scaled_dot_product_attention(query, key, key),
}

def cost(name):
    for _ in range(2):  # the second time all is in place
        torch.mtia_sim.synchronize()
        before = torch.mtia_sim.perf_counters()
        work[name]()
        torch.mtia_sim.synchronize()
    after = torch.mtia_sim.perf_counters()
    moved = sum(after["bytes"][way] - before["bytes"][way] for way in ("dram_read", "dram_written"))
    seconds = after["seconds"] - before["seconds"]
    return moved / seconds, (after["dot_flops"] - before["dot_flops"]) / seconds

for name in sys.argv[1:]:
    print(name, *cost(name))
"""


def rates(chip: str, *names: str) -> dict[str, tuple[float, float]]:
    """Bytes of DRAM and FLOPs of products a second."""
    done = subprocess.run(
        [sys.executable, "-c", PREPARE, *names],
        env={**os.environ, "MTIA_SIM_CHIP": chip},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [line.split() for line in done.stdout.splitlines()]
    return {name: (float(dram), float(dot)) for name, dram, dot in lines}


def test_streams_fill_the_dram_of_a_chip_with_two_pes() -> None:
    chip = chips.load("tpu_v6e")
    for name, (dram, _) in rates("tpu_v6e", "adam", "copy", "softmax", "strided").items():
        assert dram > 0.7 * chip.dram_bytes_per_second, f"{name} moves {dram / 1e12:.2f} TB/s"


@pytest.mark.parametrize(("name", "share"), [("h100", 0.6), ("mtia300", 0.8), ("mtia400", 0.5)])
def test_attention_is_not_bound_by_the_sram(name: str, share: float) -> None:
    chip = chips.load(name)
    peak = 2 * chip.dot_f16_macs_per_cycle * chip.processing_elements * chip.clock_hz
    _, dot = rates(name, "attention")["attention"]
    assert dot > share * peak, f"{dot / 1e12:.0f} of {peak / 1e12:.0f} TFLOP/s"


def test_blocks_grow_with_what_a_pe_has_to_have_on_its_way() -> None:
    longer = {name: ChipLimits.of(chips.load(name)).longer_blocks for name in chips.names()}
    assert longer["mtia300"] == longer["mtia2i"] == longer["h100"] == 1
    assert longer["tpu_v6e"] > longer["tpu_v5e"] > 1


@pytest.mark.parametrize("name", chips.names())
def test_operators_in_cpp_take_the_same_blocks(name: str) -> None:
    chip = chips.load(name)
    assert _C.longer_blocks(chip.serialise()) == ChipLimits.of(chip).longer_blocks
