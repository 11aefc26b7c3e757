"""Training and generating under checked mode: no finding, and the same numbers."""

import json
from pathlib import Path

import pytest
import torch
from llama.options import parse_options
from llama.training import train


def losses(out: Path, text: Path, *more: str) -> list[float]:
    common = ["--data", str(text), "--out", str(out), "--batch", "2", "--seq", "24", "--eval-every", "2"]
    train(parse_options([*common, "--steps", "3", "--sample", "4", *more]))
    summary = json.loads((out / "summary.json").read_text())
    return [*summary["losses"], summary["val_loss_first"], summary["val_loss_last"]]


@pytest.mark.parametrize(("impl", "dtype"), [("plain", "float32"), ("plain", "bfloat16"), ("hf", "amp")])
def test_steps_have_no_finding_and_the_same_losses(tmp_path: Path, text: Path, impl: str, dtype: str) -> None:
    options = ("--impl", impl, "--dtype", dtype)
    expected = losses(tmp_path / "unchecked", text, *options)
    torch.mtia_sim.clear_findings()
    with torch.mtia_sim.check():
        assert losses(tmp_path / "checked", text, *options) == expected
    assert torch.mtia_sim.findings() == []
