"""train_llama.py end to end, on seconds-long runs: it learns, resumes exactly, and writes what it promises."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from llama.errors import UserError
from llama.options import parse_options
from llama.steps import learning_rate_at
from llama.training import train

SCRIPT = Path(__file__).parents[2] / "examples" / "train_llama.py"
SUMMARY_KEYS = {
    "steps",
    "losses",
    "val_loss_first",
    "val_loss_last",
    "parameters",
    "host_tokens_per_s",
    "chip_tokens_per_s",
    "chip_seconds_per_step",
    "joules_per_step",
    "joules_per_token",
    "tokens_per_joule",
    "mode",
    "parallel",
    "ranks",
    "stand_in_fraction",
    "by_kernel",
    "by_level",
    "mfu",
    "busy",
    "fallbacks",
    "peak_memory_bytes",
    "chip",
    "dtype",
    "seed",
}


def run(out: Path, text: Path, device: str, *more: str) -> dict[str, Any]:
    """Summary of a run in this process."""
    common = ["--device", device, "--data", str(text), "--out", str(out), "--batch", "2", "--seq", "32"]
    train(parse_options([*common, "--sample", "4", *more]))
    return json.loads((out / "summary.json").read_text())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "amp"])
@pytest.mark.parametrize("impl", ["plain", "hf"])
def test_learns(tmp_path: Path, text: Path, device: str, impl: str, dtype: str) -> None:
    summary = run(tmp_path, text, device, "--impl", impl, "--dtype", dtype, "--steps", "25")
    assert summary["steps"] == len(summary["losses"]) == 25
    assert math.isclose(summary["val_loss_first"], math.log(256), rel_tol=0.1)
    assert summary["val_loss_last"] < summary["val_loss_first"] - 1.5
    assert summary["fallbacks"] == {}


def test_summary_has_the_promised_keys_and_files(tmp_path: Path, text: Path, device: str) -> None:
    summary = run(tmp_path, text, device, "--steps", "3", "--seed", "7")
    assert set(summary) == SUMMARY_KEYS
    assert (summary["dtype"], summary["seed"], summary["steps"]) == ("float32", 7, 3)
    assert summary["parameters"] == 771_200
    assert summary["host_tokens_per_s"] > 0
    assert summary["peak_memory_bytes"] > 3 * 4 * summary["parameters"]
    chip_values = ("chip_tokens_per_s", "chip_seconds_per_step", "joules_per_step", "joules_per_token", "mfu")
    if device == "cpu":
        assert all(summary[key] is None for key in (*chip_values, "chip"))
    else:
        assert all(summary[key] > 0 for key in chip_values)
        assert summary["mode"] == "functional" and summary["stand_in_fraction"] == 0
        assert sum(row["seconds"] for row in summary["by_kernel"].values()) > summary["chip_seconds_per_step"]
        assert summary["by_kernel"]["gemm"]["joules"] > 0 and summary["by_level"]["sram_read"] > 0
        assert summary["busy"] and all(0 <= fraction <= 1 for fraction in summary["busy"].values())
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.pt", "loss.png", "summary.json"]


def test_prints_a_sample(tmp_path: Path, text: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, text, "cpu", "--steps", "1", "--sample", "12")
    printed = capsys.readouterr().out
    sample = printed.split("--- a sample ---\n")[1].split("\n---")[0]
    assert sample.startswith("def ") and len(sample) > 8


def test_same_seed_gives_the_same_losses_and_another_gives_others(tmp_path: Path, text: Path, device: str) -> None:
    runs = [
        run(tmp_path / str(index), text, device, "--steps", "4", "--seed", seed)
        for index, seed in enumerate(("1", "1", "2"))
    ]
    assert runs[0]["losses"] == runs[1]["losses"] != runs[2]["losses"]


def test_devices_agree(tmp_path: Path, text: Path, device: str) -> None:
    losses = [run(tmp_path / name, text, name, "--steps", "10")["losses"] for name in ("cpu", device)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


@pytest.mark.parametrize("impl", ["plain", pytest.param("hf", marks=pytest.mark.slow)])
def test_killed_run_resumes_to_the_same_losses(tmp_path: Path, text: Path, device: str, impl: str) -> None:
    options = ["--impl", impl, "--steps", "12", "--checkpoint-every", "2", "--eval-every", "5"]
    whole = run(tmp_path / "whole", text, device, *options)

    out = tmp_path / "killed"
    command = [sys.executable, str(SCRIPT), "--device", device, "--data", str(text), "--out", str(out)]
    command += ["--batch", "2", "--seq", "32", "--sample", "4", *options]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
    checkpoint = out / "checkpoint.pt"
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and process.poll() is None:
        assert time.monotonic() < deadline, "no checkpoint after 120 s"
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()

    resumed = run(out, text, device, "--resume", *options)
    assert resumed["losses"] == whole["losses"]
    assert resumed["val_loss_first"] == whole["val_loss_first"]
    assert resumed["val_loss_last"] == whole["val_loss_last"]


def run_apart(out: Path, text: Path, *more: str, **environment: str) -> dict[str, Any]:
    """Summary of a run in a process of its own, with more environment."""
    command = [sys.executable, str(SCRIPT), "--data", str(text), "--out", str(out), "--batch", "2", "--seq", "32"]
    result = subprocess.run(
        [*command, "--steps", "4", "--sample", "0", *more],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads((out / "summary.json").read_text())


ACCOUNTS = ("chip_seconds_per_step", "joules_per_step", "busy", "mfu")


def test_losses_and_accounts_do_not_depend_on_threads(tmp_path: Path, text: Path) -> None:
    one, two = (run_apart(tmp_path / threads, text, MTIA_SIM_THREADS=threads) for threads in ("1", "2"))
    assert one["losses"] == two["losses"]
    assert [one[key] for key in ACCOUNTS] == [two[key] for key in ACCOUNTS]


def test_chip_changes_time_and_energy_and_nothing_else(tmp_path: Path, text: Path) -> None:
    ours, other = (run_apart(tmp_path / chip, text, "--chip", chip) for chip in ("mtia300", "mtia2i"))
    assert (ours["chip"], other["chip"]) == ("mtia300", "mtia2i")
    assert ours["losses"] == other["losses"]
    assert ours["chip_seconds_per_step"] < other["chip_seconds_per_step"]
    assert ours["joules_per_step"] != other["joules_per_step"]


def test_resume_without_a_checkpoint_starts_at_step_0(tmp_path: Path, text: Path) -> None:
    assert run(tmp_path, text, "cpu", "--steps", "2", "--resume")["steps"] == 2


def test_resume_refuses_another_run(tmp_path: Path, text: Path) -> None:
    run(tmp_path, text, "cpu", "--steps", "2")
    with pytest.raises(UserError, match=r"--seed 0 there, 1 now.*--out"):
        run(tmp_path, text, "cpu", "--steps", "2", "--seed", "1", "--resume")


def test_resume_refuses_a_damaged_checkpoint(tmp_path: Path, text: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match=r"checkpoint\.pt cannot be read.*delete"):
        run(tmp_path, text, "cpu", "--steps", "2", "--resume")


def test_byte_pair_encoding(tmp_path: Path, text: Path, device: str, caches: Path) -> None:
    summary = run(tmp_path / "out", text, device, "--vocab", "400", "--steps", "3")
    assert summary["val_loss_first"] == pytest.approx(math.log(400), rel=0.1)
    assert summary["parameters"] == 771_200 + 128 * (400 - 256)
    assert list(caches.rglob("*-400.json"))


def test_diverging_run_says_so(tmp_path: Path, text: Path) -> None:
    with pytest.raises(UserError, match=r"the loss of step \d+ is (nan|inf) with --lr .*smaller"):
        run(tmp_path, text, "cpu", "--steps", "30", "--lr", "1e30")


def test_learning_rate_warms_up_and_falls_to_a_tenth() -> None:
    rates = [learning_rate_at(step, 100, 1.0) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0.1 < rates[-1] < 0.101


def test_runs_from_anywhere_and_reports_errors_without_a_traceback(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--device", "cpu", "--data", "nowhere.txt"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr == (
        "train_llama.py: --data nowhere.txt does not exist; give a text file or a folder of text files\n"
    )


def test_unknown_device_names_the_remedy(tmp_path: Path, text: Path) -> None:
    with pytest.raises(UserError, match=r"--device warp cannot be used.*--device cpu"):
        run(tmp_path, text, "warp")


def test_device_that_is_not_there_names_the_remedy(tmp_path: Path, text: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--data", str(text), "--out", str(tmp_path), "--device", "mtia_sim"]
    environment = {**os.environ, "TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert "--device mtia_sim cannot be used" in done.stderr and "take --device cpu" in done.stderr
