"""train_llama.py under torchrun: plans give the losses of one process, and go on from each other's checkpoints."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from llama.errors import UserError
from llama.options import check_ranks, parse_options
from llama.training import train

SCRIPT = Path(__file__).parents[2] / "examples" / "train_llama.py"
STEPS = 20
COMMON = ("--batch", "4", "--seq", "32", "--layers", "2", "--sample", "4")


# The script, stopped behind its first checkpoint where STOP is set.
DRIVER = f"""
import os, sys
sys.path.insert(0, {str(SCRIPT.parent)!r})
import llama.training as training
from llama.options import parse_options
save = training.save_checkpoint
def save_and_stop(*arguments):
    save(*arguments)
    arguments[-1].close()
    sys.exit()
if os.environ.get("STOP"):
    training.save_checkpoint = save_and_stop
training.train(parse_options())
"""


def torchrun(script: Path, out: Path, text: Path, ranks: int, *more: str, **environment: str) -> str:
    """Standard output of a run of several processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", str(script)]
    result = subprocess.run(
        [*command, "--data", str(text), "--out", str(out), *COMMON, *more],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-4000:]
    return result.stdout


def summary_of(out: Path) -> dict[str, Any]:
    return json.loads((out / "summary.json").read_text())


def stopped_and_resumed(folder: Path, text: Path, plans: tuple[str, str]) -> str:
    """What the second of two plans printed, which went on from the first one's checkpoint of step 7."""
    driver = folder / "driver.py"
    driver.write_text(DRIVER)
    options = ("--checkpoint-every", "7", "--steps", str(STEPS))
    torchrun(driver, folder, text, 2, "--parallel", plans[0], *options, STOP="1")
    printed = torchrun(SCRIPT, folder, text, 2, "--parallel", plans[1], "--resume", *options)
    assert "at step 7" in printed
    return printed


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, text: Path) -> dict[str, Any]:
    """Summary of one process on the CPU."""
    out = tmp_path_factory.mktemp("alone")
    options = ["--device", "cpu", "--data", str(text), "--out", str(out), *COMMON, "--steps", str(STEPS)]
    train(parse_options(options))
    return json.loads((out / "summary.json").read_text())


def compare(summary: dict[str, Any], alone: dict[str, Any]) -> None:
    differences = [abs(one - other) for one, other in zip(summary["losses"], alone["losses"], strict=True)]
    assert max(differences) < 1e-4
    assert abs(summary["val_loss_last"] - alone["val_loss_last"]) < 1e-4
    assert summary["parameters"] == alone["parameters"]
    assert summary["fallbacks"] == {}


def test_a_pipeline_goes_on_from_fully_sharded(tmp_path: Path, text: Path, alone: dict[str, Any]) -> None:
    printed = stopped_and_resumed(tmp_path, text, ("fsdp", "pp"))
    summary = summary_of(tmp_path)
    compare(summary, alone)
    assert (summary["parallel"], summary["ranks"]) == ("pp", 2)
    assert printed.count("training tokens") == printed.count("results are in") == 1  # rank 0 alone prints


@pytest.mark.slow
@pytest.mark.parametrize("plans", [("tp", "fsdp"), ("pp", "tp"), ("ddp", "ddp")])
def test_one_plan_goes_on_from_another(
    tmp_path: Path, text: Path, alone: dict[str, Any], plans: tuple[str, str]
) -> None:
    stopped_and_resumed(tmp_path, text, plans)
    compare(summary_of(tmp_path), alone)


@pytest.mark.slow
@pytest.mark.parametrize(("plan", "ranks"), [("ddp", 2), ("tp", 2), ("fsdp+tp", 4), ("fsdp", 4)])
def test_every_plan_gives_the_losses_of_one_process(
    tmp_path: Path, text: Path, alone: dict[str, Any], plan: str, ranks: int
) -> None:
    printed = torchrun(SCRIPT, tmp_path, text, ranks, "--parallel", plan, "--steps", str(STEPS))
    summary = summary_of(tmp_path)
    compare(summary, alone)
    assert summary["ranks"] == ranks
    assert printed.count("--- a sample ---") == 1


@pytest.mark.slow
@pytest.mark.parametrize("plan", ["ddp", "fsdp", "tp", "pp"])
def test_timing_mode(tmp_path: Path, text: Path, plan: str) -> None:
    """Chip time of a step is that of functional mode."""
    rows = []
    for mode in ("functional", "timing"):
        torchrun(SCRIPT, tmp_path / mode, text, 2, "--parallel", plan, "--steps", "3", "--mode", mode)
        rows.append(summary_of(tmp_path / mode))
    assert rows[1]["losses"] == [None] * 3
    assert rows[1]["chip_seconds_per_step"] == pytest.approx(rows[0]["chip_seconds_per_step"], rel=0.02)


@pytest.mark.parametrize(
    ("options", "ranks", "message"),
    [
        (["--parallel", "none"], 2, "2 processes would all train the same; give --parallel"),
        (["--parallel", "ddp", "--batch", "4"], 3, "cuts --batch into 3 parts, and 4 is no multiple"),
        (["--parallel", "tp"], 4, "cuts the key heads of --model tiny into 4 parts, and 2 is no multiple"),
        (["--parallel", "fsdp+tp"], 3, "cuts the processes into 2 parts, and 3 is no multiple"),
        (["--parallel", "pp", "--layers", "3"], 2, "cuts the layers of --model tiny into 2 parts"),
        (["--parallel", "pp", "--microbatches", "3"], 2, "cuts --batch into 3 parts"),
        (["--parallel", "tp", "--impl", "hf"], 2, "take --impl plain, ddp or fsdp"),
    ],
)
def test_a_plan_that_does_not_fit_says_so(options: list[str], ranks: int, message: str) -> None:
    names = dict(zip((name.strip("-") for name in options[::2]), options[1::2], strict=True))
    values: dict[str, Any] = {name: int(value) if value.isdigit() else value for name, value in names.items()}
    with pytest.raises(UserError, match=message):
        check_ranks(dataclasses.replace(parse_options([]), **values), ranks, True)


def test_without_torchrun_it_says_how_to_start() -> None:
    with pytest.raises(UserError, match="start it with torchrun --nproc-per-node=2"):
        parse_options(["--parallel", "fsdp"])
