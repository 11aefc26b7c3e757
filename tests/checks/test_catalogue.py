"""Every check's kernel is caught, at its line, and its mended twin is not."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from mtia_core import checks, errors
from tests.source_tree import ROOT

CHECKS = {check.name: check for check in checks.checks()}
WATCHED = [name for name, check in CHECKS.items() if check.severity != "always"]
ALWAYS = [name for name, check in CHECKS.items() if check.severity == "always"]
FOUND = "# found", "// found"  # end the line that a finding names
KERNELS = Path(__file__).parent / "kernels"


def module_of(name: str) -> ModuleType:
    return importlib.import_module(f"tests.checks.kernels.{name}")


def marked_lines(name: str) -> list[str]:
    lines = []
    for source in KERNELS.glob(f"{name}.*"):
        numbered = enumerate(source.read_text().splitlines(), start=1)
        lines += [f"{source.name}:{number}" for number, line in numbered if line.endswith(FOUND)]
    assert lines, f"no line of tests/checks/kernels/{name} ends with '# found'"
    return lines


def run(name: str, what: str) -> list[dict[str, Any]]:
    """The findings of one run, with whatever exception they became swallowed."""
    torch.mtia_sim.clear_findings()
    try:
        with torch.mtia_sim.check():
            getattr(module_of(name), what)()
    except errors.MtiaError as error:
        assert type(error) is errors.CATEGORIES[CHECKS[name].category], error
    found = torch.mtia_sim.findings()
    json.dumps(found)
    return found


@pytest.mark.parametrize("name", WATCHED)
@pytest.mark.filterwarnings("ignore::mtia_sim.checking.CheckWarning")
def test_the_kernel_is_caught_at_its_line(name: str) -> None:
    found = run(name, "trigger")
    assert {finding["check"] for finding in found} == {name}, found
    lines = {Path(found[0]["line"]).name, Path(found[0]["launched"]).name}
    assert set(marked_lines(name)) <= lines, found[0]


@pytest.mark.parametrize("name", WATCHED)
def test_its_mended_twin_is_clean(name: str) -> None:
    assert run(name, "mended") == []


@pytest.mark.unchecked(reason="a period inside of another does not end it")
def test_what_a_period_watched_ends_with_it() -> None:
    torch.mtia_sim.clear_findings()
    batch = torch.zeros(1000).pin_memory()
    with pytest.raises(ZeroDivisionError), torch.mtia_sim.check():
        batch.to("mtia_sim", non_blocking=True)
        raise ZeroDivisionError
    batch.fill_(1.0)  # the period has waited for the copy
    with torch.mtia_sim.check():
        torch.mtia_sim.synchronize()
    assert torch.mtia_sim.findings() == []


def run_always(name: str, what: str, folder: Path) -> str:
    """The error of a check that needs no checked mode, in a process of its own where it needs a chip of its own."""
    chip = getattr(module_of(name), "CHIP", None)
    if chip is None:
        try:
            getattr(module_of(name), what)()
        except errors.MtiaError as error:
            return str(error)
        return ""
    (folder / "chip.toml").write_text(chip)
    code = f"import tests.checks.kernels.{name} as kernel; kernel.{what}()"
    environment = {**os.environ, "MTIA_SIM_CHIP": str(folder / "chip.toml"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    return done.stderr.strip().rsplit("mtia_core.errors.", 1)[-1] if done.returncode else ""


@pytest.mark.parametrize("name", ALWAYS)
def test_what_is_caught_always_is_caught_at_its_line(name: str, tmp_path: Path) -> None:
    text = run_always(name, "trigger", tmp_path)
    assert CHECKS[name].category in text
    assert all(line in text for line in marked_lines(name)), text


@pytest.mark.parametrize("name", ALWAYS)
def test_the_mended_twin_of_what_is_caught_always_runs(name: str, tmp_path: Path) -> None:
    assert run_always(name, "mended", tmp_path) == ""


def test_every_kernel_has_a_check() -> None:
    assert {path.stem for path in KERNELS.glob("*.*")} - {"__init__"} == set(CHECKS)
