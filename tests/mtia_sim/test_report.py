"""The report of where time goes: by kernel, operator and module, from a run, a summary and a trace."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from mtia_sim.reporting.report_command import read


@pytest.fixture
def recorded() -> torch.mtia_sim.report:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(256, 512), nn.GELU(), nn.LayerNorm(512), nn.Linear(512, 64)).to("mtia_sim")
    x = torch.randn(300, 256).to("mtia_sim")
    torch.mtia_sim.synchronize()
    torch.mtia_sim.reset_perf_counters()
    with torch.mtia_sim.report() as report:
        model(x).square().mean().backward()
    return report


def test_parts_add_up_to_the_whole(recorded):
    counters = torch.mtia_sim.perf_counters()
    for part in (recorded.by_kernel(), recorded.by_operator(), recorded.by_module()):
        assert sum(row.seconds for row in part.rows) == pytest.approx(counters["seconds"], rel=1e-9)
        assert sum(row.joules for row in part.rows) == pytest.approx(counters["joules"], rel=1e-9)
        assert sum(row.flops for row in part.rows) == counters["flops"]


def test_modules_own_their_forward_and_their_backward(recorded):
    modules = {row.name: row for row in recorded.by_module().rows}
    assert {"0", "1", "2", "3"} <= set(modules)
    # A linear layer's products: forward and the gradient of the weight, and that of the input but for the first layer.
    assert modules["0"].dot_flops == 2 * 2 * 300 * 256 * 512
    assert modules["3"].dot_flops == 3 * 2 * 300 * 512 * 64
    operators = {row.name: row for row in recorded.by_operator().rows}
    assert operators["native_layer_norm"].count >= 1 and "native_layer_norm_backward" in operators
    assert "addmm" in operators and "gemm" in recorded.by_kernel().text("kernel")
    assert "bound by" in str(recorded)


def test_nothing_stays_behind(recorded):
    with torch.mtia_sim.kernel_totals() as totals:
        torch.ones(8, device="mtia_sim").add_(1)
    assert {row["purpose"] for row in totals.rows()} == {0}


def test_the_command_reads_summaries_and_traces(tmp_path: Path) -> None:
    x = torch.randn(512, 512, device="mtia_sim")
    trace = tmp_path / "trace.json"
    with torch.mtia_sim.trace(trace), torch.mtia_sim.kernel_totals() as totals:
        (x @ x).softmax(1).sum()
    summary = tmp_path / "summary.json"
    summary.write_text(json.dumps({"chip": "mtia300", "by_kernel": totals.by_name()}))
    of_trace, of_summary = ({row.name: row for row in read(path).rows} for path in (trace, summary))
    assert set(of_trace) == set(of_summary) and "gemm" in of_summary
    for name, row in of_summary.items():
        assert of_trace[name].seconds == pytest.approx(row.seconds, rel=1e-6)
        assert of_trace[name].dram_bytes == row.dram_bytes
    command = [sys.executable, "-m", "mtia_sim", "report", str(summary), "--out", str(tmp_path / "pictures")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "gemm" in done.stdout and "chip ms" in done.stdout
    for name in ("roofline.png", "bar.png"):
        assert (tmp_path / "pictures" / name).read_bytes().startswith(b"\x89PNG")


def test_what_is_no_summary_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text('{"traceEvents": []}')
    done = subprocess.run([sys.executable, "-m", "mtia_sim", "report", path], capture_output=True, text=True)
    assert done.returncode == 2 and "is no summary.json" in done.stderr
