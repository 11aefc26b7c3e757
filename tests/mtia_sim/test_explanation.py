"""The report of a kernel: each access with its way and why, local memory by value, instructions by line, chip time."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import triton
import triton.language as tl

from triton_mtia_sim.explain import KernelReport


@triton.jit
def mixed_kernel(table, index, out, n, stride, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    chosen = tl.load(index + i, mask=i < n, other=0)
    gathered = tl.load(table + chosen * stride, mask=i < n)
    squared = tl.load(table + i * i % stride)
    tl.store(out + i, gathered + squared, mask=i < n)
    tl.atomic_add(out + n, 1.0)


@triton.jit
def loop_kernel(x, out, rows, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for row in range(rows):
        values = tl.load(x + row * BLOCK + i)
        total += values * values
    tl.store(out + tl.program_id(0) * BLOCK + i, total)


def line_of(kernel, text):
    """Number of the line of this file that holds a text."""
    lines = Path(__file__).read_text().splitlines()
    start = kernel.starting_line_number if hasattr(kernel, "starting_line_number") else 1
    return next(number for number, line in enumerate(lines, 1) if number >= start and text in line)


def mixed_arguments():
    table = torch.randn(4096, device="mtia_sim")
    index = torch.randint(0, 100, (64,), device="mtia_sim")
    return table, index, torch.zeros(64, device="mtia_sim"), 60, 7


def test_each_access_has_its_way_and_its_reason():
    report = torch.mtia_sim.explain(mixed_kernel, *mixed_arguments(), grid=(2,), BLOCK=32)
    assert isinstance(report, KernelReport)
    found = {item.location.line: item for item in report.accesses}
    first = line_of(mixed_kernel, "chosen = tl.load")
    load, gather, squared, store, atomic = (found[first + offset] for offset in range(5))
    assert load.structured and "stride 1 below (n - i)" in load.why and load.tile == "32xi64"
    assert not gather.structured and "loaded from memory" in gather.why and f":{first})" in gather.why
    assert not squared.structured and "product of two indices" in squared.why
    assert store.structured and store.operation == "store"
    assert not atomic.structured and atomic.operation == "atomic_rmw"


def test_local_memory_by_value():
    x = torch.randn(8, 256, device="mtia_sim")
    out = torch.empty(256, device="mtia_sim")
    loop_kernel[(1,)](x, out, 8, BLOCK=256)
    report = torch.mtia_sim.explain(loop_kernel)
    (total,) = (item for item in report.tiles if item.buffers == 1)
    (values,) = (item for item in report.tiles if item.buffers == 2)
    assert total.names == ("total",) and total.bytes == values.bytes == 1024 and "values" in values.names
    assert values.location.line == line_of(loop_kernel, "values = tl.load")
    assert total.first < values.first <= values.last < total.last
    assert report.local_memory_bytes == 3 * 1024
    assert not report.lines and "chip time" not in report.text()


def test_without_a_kernel_it_is_the_last_launch():
    x = torch.randn(8, 256, device="mtia_sim")
    out = torch.empty(256, device="mtia_sim")
    loop_kernel[(1,)](x, out, 8, BLOCK=256)
    mixed_kernel[(2,)](*mixed_arguments(), BLOCK=32)
    assert torch.mtia_sim.explain().name == "mixed_kernel"
    loop_kernel[(1,)](x, out, 8, BLOCK=128)
    report = torch.mtia_sim.explain()
    assert report.name == "loop_kernel" and report.local_memory_bytes == 3 * 512


def test_time_by_line_sums_to_the_time_of_the_pe():
    x = torch.randn(8, 256, device="mtia_sim")
    out = torch.empty(2, 256, device="mtia_sim")
    report = torch.mtia_sim.explain(loop_kernel, x, out, 8, grid=(2,), BLOCK=256)
    torch.testing.assert_close(out.cpu(), (x.cpu() ** 2).sum(0).expand(2, 256), rtol=1e-5, atol=1e-5)
    lines = {item.location.line: item for item in report.lines}
    load = lines[line_of(loop_kernel, "values = tl.load")]
    square = lines[line_of(loop_kernel, "total += values")]
    store = lines[line_of(loop_kernel, "tl.store(out")]
    assert load.runs == 8 and square.runs == 8 and store.runs == 1
    assert load.bytes == 8 * 1024 and store.bytes == 1024 and square.bytes == 0
    assert sum(item.exposed for item in report.lines) == pytest.approx(report.pe_cycles, abs=2)
    assert report.programs == 1 and report.cycles >= report.pe_cycles and report.seconds > 0


def test_a_profiled_launch_costs_what_any_launch_costs():
    x = torch.randn(8, 256, device="mtia_sim")
    out = torch.empty(2, 256, device="mtia_sim")

    def cycles(launch):
        launch()
        torch.mtia_sim.synchronize()
        before = torch.mtia_sim.perf_counters()["cycles"]
        result = launch()
        torch.mtia_sim.synchronize()
        return torch.mtia_sim.perf_counters()["cycles"] - before, result

    plain, _ = cycles(lambda: loop_kernel[(2,)](x, out, 8, BLOCK=256))
    profiled, report = cycles(lambda: torch.mtia_sim.explain(loop_kernel, x, out, 8, grid=(2,), BLOCK=256))
    assert profiled == plain == report.cycles


def test_the_text_shows_source_lines_and_instructions():
    report = torch.mtia_sim.explain(mixed_kernel, *mixed_arguments(), grid=(2,), BLOCK=32)
    text = str(report)
    number = line_of(mixed_kernel, "gathered = tl.load")
    assert f"; test_explanation.py:{number}  gathered = tl.load(table + chosen * stride, mask=i < n)" in text
    assert "accesses: 2 structured, 3 indexed" in text
    assert "dma_load" in text and "gather" in text and "chip time:" in text
    assert "instructions:" not in report.text(disassembly=False)


@triton.autotune(configs=[triton.Config({"BLOCK": block}) for block in (64, 128)], key=["n"])
@triton.heuristics({"WHOLE": lambda arguments: arguments["n"] % arguments["BLOCK"] == 0})
@triton.jit
def tuned_kernel(x, out, n, BLOCK: tl.constexpr, WHOLE: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    if WHOLE:
        tl.store(out + i, tl.load(x + i) + 1)
    else:
        tl.store(out + i, tl.load(x + i, mask=i < n) + 1, mask=i < n)


def test_autotuned_kernels_and_heuristics():
    x = torch.randn(256, device="mtia_sim")
    out = torch.empty_like(x)
    grid = lambda meta: (triton.cdiv(256, meta["BLOCK"]),)  # noqa: E731
    report = torch.mtia_sim.explain(tuned_kernel, x, out, 256, grid=grid)
    assert report.lines and all("below" not in item.why for item in report.accesses)
    assert torch.mtia_sim.explain(tuned_kernel).accesses


def test_what_cannot_be_explained_is_refused():
    @triton.jit
    def never_kernel(x):
        tl.store(x, 1.0)

    with pytest.raises(ValueError, match="never_kernel has not been compiled"):
        torch.mtia_sim.explain(never_kernel)
    with pytest.raises(ValueError, match="without a grid"):
        torch.mtia_sim.explain(never_kernel, torch.zeros(1, device="mtia_sim"))
    with pytest.raises(ValueError, match="no Triton kernel"):
        torch.mtia_sim.explain(len)


def test_the_variable_prints_a_report_when_a_kernel_is_compiled(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import torch, triton\nimport triton.language as tl\n\n@triton.jit\ndef fill(x, BLOCK: tl.constexpr):\n"
        "    tl.store(x + tl.arange(0, BLOCK), 1.0)\n\nfill[(1,)](torch.empty(8, device='mtia_sim'), BLOCK=8)\n"
    )
    environment = {"MTIA_SIM_EXPLAIN": "1", "TRITON_CACHE_DIR": str(tmp_path), "PATH": ""}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=True)
    assert "kernel fill on mtia300" in done.stderr and "script.py:6: store of 8xf32, structured" in done.stderr
