"""C++ kernels in which several PEs take part: results, chip time on any number of host threads, and who is missed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from mtia_core import errors

SOURCE = Path(__file__).parent / "cpp_kernels" / "between_pes.cpp"


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache for the tests of this file: the source is compiled once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MTIA_SIM_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


def load(name: str):
    return torch.mtia_sim.load_kernel(SOURCE, name=name)


def line_of(text: str) -> str:
    lines = SOURCE.read_text().splitlines()
    return f"{SOURCE.name}:{next(number for number, line in enumerate(lines, 1) if text in line)}"


@pytest.mark.parametrize("kernel", ["multicast_gemm", "split_k_gemm"])
@pytest.mark.parametrize("shape", [(64, 64, 64), (130, 200, 333), (31, 500, 64), (1, 1, 1000)])
@pytest.mark.parametrize("grid", [(1, 1), (2, 3), (4, 4), ()])
def test_gemm_among_pes(kernel: str, shape: tuple[int, int, int], grid: tuple[int, ...]) -> None:
    m, n, k = shape
    a, b = torch.randn(m, k), torch.randn(k, n)
    c = torch.full((m, n), float("nan"), device="mtia_sim")
    load(kernel)[grid](a.to("mtia_sim"), b.to("mtia_sim"), c)
    torch.testing.assert_close(c.cpu().double(), a.double() @ b.double(), atol=1e-3, rtol=1e-4)


def test_a_multicast_reads_memory_once() -> None:
    a, b = torch.randn(128, 256).to("mtia_sim"), torch.randn(256, 128).to("mtia_sim")

    def bytes_read(grid: tuple[int, int]) -> int:
        c = torch.zeros(128, 128, device="mtia_sim")
        torch.mtia_sim.synchronize()
        torch.mtia_sim.reset_perf_counters()
        load("multicast_gemm")[grid](a, b, c)
        torch.mtia_sim.synchronize()
        return torch.mtia_sim.perf_counters()["bytes"]["sram_read"]

    # Each block of a is read once for each column of blocks of c that a row of PEs takes turns at, and so for b.
    assert bytes_read((4, 4)) == 2 * 128 * 256 * 4
    assert bytes_read((1, 1)) == 4 * 2 * 128 * 256 * 4


def test_a_multicast_starts_when_the_last_pe_is_ready() -> None:
    x = torch.randn(64, device="mtia_sim")

    def cycles(pes: int, steps: int) -> int:
        y = torch.zeros(64, device="mtia_sim")
        torch.mtia_sim.synchronize()
        torch.mtia_sim.reset_perf_counters()
        load("late_to_multicast")[1, pes](x, y, steps)
        torch.testing.assert_close(y.cpu(), x.cpu() + steps)
        return torch.mtia_sim.perf_counters()["cycles"]

    # What one PE does before and after takes two of them as long: the second's part comes before, the first's after.
    assert cycles(2, 1000) == pytest.approx(cycles(1, 1000), rel=0.02)
    assert cycles(1, 1000) > 5 * cycles(1, 0)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("pes", [2, 6, 36])
def test_barriers_order_memory(pes: int, steps: int) -> None:
    x = torch.randn(pes * 64)
    on_device = x.to("mtia_sim")
    load("rotate_blocks")[(pes // 6, 6) if pes > 6 else pes](on_device, on_device, steps)
    assert torch.equal(on_device.cpu(), x.view(pes, 64).roll(steps, 0).flatten())


def test_chain_down_a_column() -> None:
    x = torch.randn(4 * 3, 64)
    y = torch.zeros(3 * 64, device="mtia_sim")
    load("column_max")[4, 3](x.flatten().to("mtia_sim"), y, 0)
    assert torch.equal(y.cpu().view(3, 64), x.view(4, 3, 64).amax(0))


def test_work_queue_gives_each_item_once_and_balances() -> None:
    x = torch.randn(200, 256)
    out = torch.zeros(200, 256, device="mtia_sim")
    owner = torch.full((200,), -1, dtype=torch.int32, device="mtia_sim")
    load("draws")[5](x.to("mtia_sim"), out, owner, 200)
    torch.testing.assert_close(out.cpu(), x + 1)
    counts = torch.bincount(owner.cpu().long(), minlength=5)
    assert counts.sum() == 200 and counts.min() >= 25


PROGRAM = """
import torch
torch.manual_seed(0)
a, b = torch.randn(300, 400).to("mtia_sim"), torch.randn(400, 300).to("mtia_sim")
c = torch.empty(300, 300, device="mtia_sim")
owner = torch.zeros(300, dtype=torch.int32, device="mtia_sim")
x = torch.randn(300, 256).to("mtia_sim")
out = torch.empty(300, 256, device="mtia_sim")
line = torch.randn(64 * 36).to("mtia_sim")
def cycles(name, grid, *arguments):
    torch.mtia_sim.synchronize(); torch.mtia_sim.reset_perf_counters()
    torch.mtia_sim.load_kernel(SOURCE, name=name)[grid](*arguments)
    torch.mtia_sim.synchronize()
    return torch.mtia_sim.perf_counters()["cycles"]
print(cycles("multicast_gemm", (), a, b, c), c.double().sum().item())
print(cycles("split_k_gemm", (), a, b, c), c.double().sum().item())
print(cycles("draws", (), x, out, owner, 300), owner.cpu().tolist())
print(cycles("rotate_blocks", (6, 6), line, line, 5))
SOURCE = GEMM
a, b = torch.randn(500, 300).bfloat16().to("mtia_sim"), torch.randn(300, 700).bfloat16().to("mtia_sim")
c = torch.empty(500, 700, dtype=torch.bfloat16, device="mtia_sim")
print(cycles(None, (), a, b, c, 1.0), c.cpu().float().double().sum().item())
"""


def test_chip_time_and_draws_are_those_of_any_number_of_threads() -> None:
    def output(threads: int) -> str:
        environment = os.environ | {"MTIA_SIM_THREADS": str(threads)}
        program = f"SOURCE, GEMM = {str(SOURCE)!r}, {str(SOURCE.parent / 'gemm.cpp')!r}\n{PROGRAM}"
        done = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True)
        return done.stdout.decode()

    assert output(1) == output(2) == output(4)


MISSING = [
    ("missing_at_barrier", "// not all come", "barrier for all PEs: 5 of 6 have come"),
    ("missing_at_multicast", "// one does not come", "multicast along row 0: 2 of 3 PEs have come"),
    ("missing_in_chain", "// the first does not send", "reduce_along for the part of the PE before it along row 0"),
]


@pytest.mark.parametrize(("name", "marker", "text"), MISSING, ids=[row[0] for row in MISSING])
def test_who_does_not_come_is_missed(name: str, marker: str, text: str) -> None:
    x = torch.zeros(64 * 6, device="mtia_sim")
    load(name)[2, 3](x, x, 0)
    with pytest.raises(errors.Deadlock) as raised:
        torch.mtia_sim.synchronize()
    assert text in str(raised.value) and line_of(marker) in str(raised.value)
    x = torch.randn(1000)
    assert torch.equal((x.to("mtia_sim") * 2).cpu(), x * 2)


def test_multicast_of_different_regions() -> None:
    x = torch.zeros(64 * 6, device="mtia_sim")
    load("different_regions")[2, 3](x, x, 0)
    with pytest.raises(errors.InvalidArgument, match="mtia_rule_multicast_participants_must_agree") as raised:
        torch.mtia_sim.synchronize()
    assert line_of("// different regions") in str(raised.value)


def test_lines_of_a_ragged_grid() -> None:
    x = torch.zeros(64 * 8, device="mtia_sim")
    load("missing_at_multicast")[8](x, x, 0)
    with pytest.raises(errors.InvalidArgument, match=r"launch on a rectangle: kernel\[rows, columns\]"):
        torch.mtia_sim.synchronize()
