"""breakpoint() in a C++ kernel: under a debugger it stops there, without one it says so and goes on."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.debugging.tracer import NOT_PERMITTED

KERNEL = """
#include <mtia/kernel.h>
using namespace mtia;
struct Arguments {
  Tensor<const float, 1> x;
  Tensor<float, 1> out;
};
MTIA_ARGUMENTS(Arguments, x, out);
void twice(ProcessingElement& pe, const Arguments& arguments) {
  auto tile = pe.allocate<Tile<float, 1, 64>>();
  pe.load(tile, arguments.x.at(0));
  pe.add(tile, tile, tile);
  const int64_t answer = 40 + pe.index() + 2;
  pe.breakpoint();
  pe.store(arguments.out.at(0), tile);
  if (answer < 0) pe.barrier();
}
MTIA_KERNEL(twice, twice);
"""
SCRIPT = """
import torch
kernel = torch.mtia_sim.load_kernel("twice.cpp", debug=True)
x = torch.arange(64.0)
out = torch.zeros(64, device="mtia_sim")
for _ in range(2):
    kernel[1](x.to("mtia_sim"), out)
assert torch.equal(out.cpu(), 2 * x)
print("went on")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MTIA_SIM_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "twice.cpp").write_text(KERNEL)
    (tmp_path / "script.py").write_text(SCRIPT)
    return tmp_path


def line_of(text: str) -> int:
    return next(number for number, line in enumerate(KERNEL.splitlines(), 1) if text in line)


def test_without_a_debugger_it_says_so_once_and_goes_on(folder: Path) -> None:
    run = subprocess.run([sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0 and "went on" in run.stdout, run.stderr
    assert run.stderr.count("breakpoint() goes on: no debugger is attached") == 1
    assert f"twice.cpp:{line_of('pe.breakpoint()')}" in run.stderr and "gdb --args python" in run.stderr


def test_under_a_debugger_it_stops_at_the_kernels_line_each_time(folder: Path) -> None:
    """By a debugger that is always there; gdb, which the next test drives, may not be."""
    command = [sys.executable, str(Path(__file__).with_name("tracer.py")), "script.py"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    if run.returncode == NOT_PERMITTED:
        pytest.skip("this system forbids ptrace(2), by which debuggers work")
    assert run.returncode == 0 and "no debugger" not in run.stderr, run.stdout + run.stderr
    assert run.stdout.count("stopped in ") == 2 and run.stdout.endswith("went on\n"), run.stdout
    kernels = [line for line in run.stdout.splitlines() if "twice(mtia::ProcessingElement&" in line]
    assert len(kernels) == 2
    assert all(line.endswith(f"twice.cpp:{line_of('pe.breakpoint()')}") for line in kernels), run.stdout


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gdb") is None, reason="gdb is not installed")
def test_under_gdb_it_stops_at_the_kernels_line(folder: Path) -> None:
    commands = [
        "set auto-solib-add off",
        "run",
        "sharedlibrary kernel_",
        "up",
        "print answer",
        "continue",
        "continue",
    ]
    command = ["gdb", "-batch", *(f"-ex={item}" for item in commands), "--args", sys.executable, "script.py"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    assert "SIGTRAP" in run.stdout and f"twice.cpp:{line_of('pe.breakpoint()')}" in run.stdout, run.stdout[-3000:]
    assert "$1 = 42" in run.stdout and "went on" in run.stdout
