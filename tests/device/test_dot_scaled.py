"""tl.dot_scaled on the device: against float64, and its cost on chips with and without MX formats, in both modes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mtia_core import chips

SCRIPT = Path(__file__).parent / "scaled_products.py"
CASES = ["e2m1:32:exponents", "e2m1:16:exponents", "e2m1:16:numbers", "e4m3:32:exponents", "e5m2:16:exponents"]
# The rate of the engine that each case takes; f16: the operands are scaled by the vector core before.
RATES = {
    "mtia300": ["f16", "f16", "f16", "f16", "f16"],
    "mtia400": ["f4", "f4", "f16", "f8", "f8"],
    "b200": ["f4", "f4", "f4", "f8", "f16"],
}
ENERGY = {"f4": "dot_f4_picojoules_per_mac", "f8": "dot_i8_picojoules_per_mac", "f16": "dot_f16_picojoules_per_mac"}


@pytest.mark.parametrize("name", RATES)
def test_numbers_time_and_energy(name: str) -> None:
    environment = {**os.environ, "MTIA_SIM_CHIP": name}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *CASES], env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    chip = chips.load(name)
    for case, rate, result in zip(CASES, RATES[name], json.loads(done.stdout), strict=True):
        assert result["error"] < 1e-6, case
        account = result["functional"]
        assert account == result["timing"], case
        macs = 256 * 256 * 1024
        assert account["dot_flops"] == 2 * macs
        seconds = macs / (getattr(chip, f"dot_{rate}_macs_per_cycle") * chip.processing_elements * chip.clock_hz)
        assert account["engine_seconds"] == pytest.approx(seconds, rel=0.02), case
        assert account["dynamic_joules"] > macs * getattr(chip, ENERGY[rate]) * 1e-12, case
