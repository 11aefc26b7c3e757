"""The benchmark harness, on the CPU against itself and with wrong results put in."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from suites import kernels  # noqa: E402
from suites.measure import Case, Sample, WrongResultError, check, measure, undisturbed  # noqa: E402
from suites.report import Row  # noqa: E402

KEYS = {"suite", "name", "dtype", "shape", "host_ms", "cpu_ms", "host_ratio", "chip_us", "roofline", "joules"}
KEYS |= {"interpreter_ms"}


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_rows_have_the_promised_keys(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    options = ("--device", "cpu", "--suite", "kernels", "--only", "swiglu", "--seconds", "0.1", "--json", str(file))
    result = run("run.py", *options)
    assert result.returncode == 0, result.stderr
    contents = json.loads(file.read_text())
    assert contents["host"] in result.stdout and isinstance(contents["instructions"], list)
    rows = contents["rows"]
    assert [row["dtype"] for row in rows] == ["float32", "bfloat16"]
    for row in rows:
        assert set(row) == KEYS
        assert row["suite"] == "kernels"
        assert row["host_ratio"] == pytest.approx(row["host_ms"] / row["cpu_ms"])
        assert row["chip_us"] is None
    assert result.stdout.count("swiglu") == 2


def test_failing_case_is_named_and_fails_the_run() -> None:
    result = run("run.py", "--device", "meta", "--suite", "kernels", "--only", "swiglu", "--seconds", "0.1")
    assert result.returncode == 1
    assert "kernels swiglu float32 1024x1408" in result.stderr


def test_suites_hold_the_rows_that_the_project_promises() -> None:
    found = {(case.name, case.dtype, case.shape) for case in kernels.cases()}
    for dtype in ("float32", "bfloat16"):
        for name, shape in (
            ("matmul", "1024x1024x1024"),
            ("matmul", "2048x2048x2048"),
            ("add", "16777216"),
            ("softmax", "4096x4096"),
            ("rms_norm", "4096x4096"),
        ):
            assert (name, dtype, shape) in found
    assert len(found) == len(list(kernels.cases()))


@pytest.mark.parametrize("name", ["linear", "attention_causal_backward", "cross_entropy_backward", "adamw_fused"])
def test_cases_give_the_same_results_each_time_they_are_built(name: str) -> None:
    cpu = torch.device("cpu")
    case = next(case for case in kernels.cases() if case.name == name)
    check(case, case.build(cpu)(), case.build(cpu)())


def small_case(**changes: object) -> Case:
    case = Case("kernels", "double", "float32", "3", lambda device: lambda: 2 * torch.arange(3.0, device=device))
    return dataclasses.replace(case, **changes)


def test_measures_the_device_against_the_cpu() -> None:
    row, note = measure(small_case(), torch.device("cpu"), seconds=0.2)
    assert isinstance(row, Row)
    assert row.host_ms > 0
    assert row.host_ratio == pytest.approx(row.host_ms / row.cpu_ms)
    assert note


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (torch.tensor([0.0, 2.0, 4.01]), r"off by 0\.0022 in relative norm, the bound is 0\.0001"),
        (torch.tensor([0.0, 2.0, float("nan")]), "off by nan"),
        (torch.zeros(2), "has shape"),
    ],
)
def test_wrong_results_are_refused(result: torch.Tensor, message: str) -> None:
    with pytest.raises(WrongResultError, match=message):
        check(small_case(), result, torch.tensor([0.0, 2.0, 4.0]))


def test_disturbed_samples_are_left_out() -> None:
    samples = [Sample(1.0, 1.98), Sample(1.1, 1.9), Sample(2.0, 1.2)]
    assert undisturbed(samples) == samples[:2]


@pytest.mark.slow
def test_loss_curves_compares_and_draws(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text((BENCHMARKS / "run.py").read_text() * 20)
    options = ("--device", "cpu", "--steps", "3", "--batch", "1", "--seq", "16", "--data", str(text))
    result = run("loss_curves.py", *options, "--out", str(tmp_path / "out"))
    assert result.returncode == 0, result.stderr
    assert "float32: largest relative difference of 3 losses 0" in result.stdout
    assert (tmp_path / "out" / "loss_curves.png").read_bytes().startswith(b"\x89PNG")
    curves = json.loads((tmp_path / "out" / "loss_curves.json").read_text())
    assert set(curves) == {"float32", "bfloat16"}


def test_loss_curves_names_a_broken_bound() -> None:
    from loss_curves import broken_bounds

    assert broken_bounds("float32", [0.0] * 9 + [2e-4]) == [
        "float32: a loss of the first 10 steps differs by 0.0002, the bound is 0.0001"
    ]


def test_operators_lists_what_a_step_calls(tmp_path: Path) -> None:
    file = tmp_path / "operators.json"
    options = ("--device", "cpu", "--model", "tiny", "--batch", "1", "--seq", "16", "--json", str(file))
    result = run("operators.py", *options)
    assert result.returncode == 0, result.stderr
    calls = {row["operator"]: row["cpu"][0] for row in json.loads(file.read_text())}
    assert calls["mm.default"] >= 3 * (4 * 7 + 1) - 1
    assert calls["silu.default"] == 4


def test_dispatch_times_operators_by_name(tmp_path: Path) -> None:
    file = tmp_path / "dispatch.json"
    options = ("--only", "softmax", "--repeats", "3", "--calls", "4", "--over", "0", "--json", str(file))
    result = run("dispatch.py", *options)
    assert result.returncode == 0, result.stderr
    rows = {row["name"]: row for row in json.loads(file.read_text())}
    assert {"_softmax", "_log_softmax_backward_data"} <= set(rows) and all(row["us"] > 0 for row in rows.values())
    assert result.stdout.count(" * |") == len(rows) == 4


def test_a_profile_accounts_for_the_steps_kernels() -> None:
    from suites.profile import profile_step

    device = torch.device("mtia_sim")
    x = torch.randn(256, 256, device=device)
    profile = profile_step(lambda: (x @ x).relu().sum(), device, steps=4)
    names = {kernel.name: kernel for kernel in profile.by_kernel}
    assert names["gemm"].launches == 1 and names["gemm"].host_ms > 0 and names["gemm"].chip_us > 0
    assert profile.kernels == pytest.approx(sum(kernel.host_ms for kernel in profile.by_kernel))
    assert profile.wall > 0 and profile.exposed <= profile.wall


def test_every_kernel_case_has_a_roofline() -> None:
    assert [case.name for case in kernels.cases() if case.flops == 0 and case.bytes == 0] == []


def test_roofline_of_a_small_layer() -> None:
    """Each kernel of a step gives a row whose roofline is no longer than what the chip took, unless SRAM served it."""
    import roofline

    sizes = roofline.Sizes(1, 64, 64, 4, 2, 96, 50, 40_000)
    cells = [
        [cell.strip() for cell in roofline.row_of(kernel, torch.float32).strip("|").split("|")]
        for kernel in roofline.kernels(sizes, torch.float32)
    ]
    assert len({row[0] for row in cells}) == len(cells) > 20
    for name, _, chip_us, least_us, _, bound, busy in cells:
        assert 0 <= float(least_us) <= float(chip_us) and float(chip_us) > 0, name
        assert bound == "latency" or bound in busy, name
        assert "launches" in busy, f"{name}: so small a kernel spends much of its time on launches"
