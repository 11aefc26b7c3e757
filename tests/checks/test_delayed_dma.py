"""No kernel can use a tile before its DMA is done: where that takes a thousand times as long, all wait for it."""

import os
import subprocess
import sys
from pathlib import Path

KERNELS = Path(__file__).parents[1] / "device" / "cpp_kernels"

SLOW = """
name = "slow_memory"
base = "mtia2i"

[dram]
dram_latency_ns = { value = 450000, kind = "assumed", how = "a thousand times mtia2i's" }

[shared_sram]
sram_latency_ns = { value = 200000, kind = "assumed", how = "a thousand times mtia2i's" }
"""

PROGRAM = f"""
import torch
torch.manual_seed(0)
a, b, rows = torch.randn(200, 130), torch.randn(130, 300), torch.randn(50, 128)
with torch.mtia_sim.check():
    on_device = a.to("mtia_sim"), b.to("mtia_sim"), rows.to("mtia_sim")
    c, probabilities = torch.empty(200, 300, device="mtia_sim"), torch.empty(50, 128, device="mtia_sim")
    swapped = torch.arange(128.0, device="mtia_sim")
    torch.mtia_sim.synchronize(); torch.mtia_sim.reset_perf_counters()
    torch.mtia_sim.load_kernel({str(KERNELS / "between_pes.cpp")!r}, name="multicast_gemm")[3, 4](*on_device[:2], c)
    torch.mtia_sim.load_kernel({str(KERNELS / "units.cpp")!r}, name="softmax")[()](on_device[2], probabilities)
    torch.mtia_sim.load_kernel({str(KERNELS / "units.cpp")!r}, name="swaps")[1](swapped)
    torch.mtia_sim.synchronize()
    seconds = torch.mtia_sim.perf_counters()["seconds"]
    torch.testing.assert_close(c.cpu(), a @ b, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(probabilities.cpu(), rows.softmax(1), atol=1e-5, rtol=1e-5)
    assert swapped.tolist() == [*range(64, 128), *range(64)]
    triton = torch.nn.functional.layer_norm(on_device[0] @ on_device[1], [300])
    torch.testing.assert_close(triton.cpu(), torch.nn.functional.layer_norm(a @ b, [300]), atol=1e-3, rtol=1e-3)
assert torch.mtia_sim.findings() == []
print(seconds)
"""


def seconds_on(chip: str) -> float:
    environment = os.environ | {"MTIA_SIM_CHIP": chip}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


def test_slow_memory_is_waited_for(tmp_path: Path) -> None:
    chip = tmp_path / "chip.toml"
    chip.write_text(SLOW)
    # Three kernels one after the other, each of which needs what it loads.
    assert seconds_on(str(chip)) > 3 * 200e-6 > 10 * seconds_on("mtia2i")
