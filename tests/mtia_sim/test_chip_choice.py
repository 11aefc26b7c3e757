"""The chip that Python reads is the chip that C++ runs: by name, by file, and refused where it is wrong."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mtia_core import chips

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples/chips/mtia300_faster_memory.toml"


def run(program: str, chip: str | Path) -> str:
    """Runs a Python program with MTIA_SIM_CHIP set, and returns what it prints."""
    environment = {**os.environ, "MTIA_SIM_CHIP": str(chip)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


OF_EACH_KIND = ("mtia1", "mtia300", "h100", "tpu_v5e", EXAMPLE)


@pytest.mark.parametrize(
    "chip",
    [
        pytest.param(chip, id=str(chip), marks=() if chip in OF_EACH_KIND else pytest.mark.slow)
        for chip in (*chips.names(), EXAMPLE)
    ],
)
def test_cpp_accepts_and_runs_the_chip(chip: str | Path) -> None:
    program = (
        "import torch; x = torch.arange(5.).to('mtia_sim'); p = torch.mtia_sim.get_device_properties(0);"
        "print(p.name, p.total_memory, p.multi_processor_count, x.cpu().sum().item())"
    )
    loaded = chips.load(chip)
    assert run(program, chip).split() == [
        loaded.name,
        str(loaded.dram_bytes),
        str(loaded.processing_elements),
        "10.0",
    ]


def test_a_wrong_chip_is_refused_and_the_device_works_after_the_remedy(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('name = "wrong"\nbase = "mtia300"\n[grid]\npe_rows = 100\n')
    program = """
import os, torch
try:
    torch.ones(3).to("mtia_sim")
except Exception as error:
    print(type(error).__name__, error)
os.environ["MTIA_SIM_CHIP"] = "mtia1"
print(torch.ones(3).to("mtia_sim").cpu().sum().item(), torch.mtia_sim.get_device_properties(0).name)
"""
    refusal, afterwards = run(program, wrong).splitlines()
    assert refusal.startswith("InvalidChip")
    for part in (str(wrong), "grid.pe_rows = 100 is out of range", "1 to 64"):
        assert part in refusal
    assert afterwards == "3.0 mtia1"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda text: text.replace("pe_rows=12", "pe_rows=65"), "grid.pe_rows = 65 is out of range"),
        (lambda text: text.replace("pe_rows=12\n", ""), "pe_rows is missing"),
        (lambda text: text + "colour=1\n", "no chip has a field colour"),
    ],
)
def test_cpp_checks_what_python_hands_over(change, expected: str) -> None:
    """C++ trusts no text: the same errors, as the same class, with the file's name."""
    text = change(chips.load("mtia300").serialise())
    program = f"""
import torch, mtia_sim._C as extension
from mtia_core.errors import InvalidChip
try:
    extension.configure({text!r}, "mine.toml", 1)
except InvalidChip as error:
    print(error)
"""
    message = run(program, "mtia300")
    assert message.startswith("InvalidChip: mine.toml: ")
    assert expected in message


DISPATCHED = """
import torch
small, large = torch.ones(16, device="mtia_sim"), torch.ones(4096, 4096, device="mtia_sim")
for tensor, launches in ((small, 100), (large, 3)):
    tensor.add_(1)
    torch.mtia_sim.synchronize()
    torch.mtia_sim.reset_perf_counters()
    for _ in range(launches):
        tensor.add_(1)
    counters = torch.mtia_sim.perf_counters()
    print(counters["elapsed_seconds"], counters["seconds"])
"""


def test_a_script_that_is_bound_by_its_launches_shows_as_such(tmp_path: Path) -> None:
    """The chip works as long as ever; what the host takes shows where it takes longer than the chip."""
    slow = tmp_path / "slow.toml"
    slow.write_text('name = "slow"\nbase = "mtia300"\n[host]\nhost_dispatch_ns = 10000\n')

    def measured(chip: str | Path) -> list[list[float]]:
        return [[float(number) for number in line.split()] for line in run(DISPATCHED, chip).splitlines()]

    (few, few_busy), (many, many_busy) = measured("mtia300")
    (slow_few, slow_few_busy), (slow_many, slow_many_busy) = measured(slow)
    assert (slow_few_busy, slow_many_busy) == (few_busy, many_busy)
    assert few == pytest.approx(few_busy) and many == pytest.approx(many_busy)
    assert 99 * 10e-6 < slow_few < 101 * 10e-6 + few_busy and few < 0.2 * slow_few
    assert many > 3 * 10e-6 and slow_many < many + 2 * 10e-6
