"""Every check's kernel is caught, at its line, and its mended twin is not."""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from mtia_core import checks, errors
from mtia_sim import checking
from tests.source_tree import ROOT

CHECKS = {check.name: check for check in checks.checks()}
WATCHED = [name for name, check in CHECKS.items() if check.severity != "always"]
ALWAYS = [name for name, check in CHECKS.items() if check.severity == "always"]
FOUND = "# found", "// found"  # end the line that a finding names
KERNELS = Path(__file__).parent / "kernels"
# Of the finding at the marked line: kernel, tensor, index, and a part of what it says of before.
PLACES = {
    "out_of_bounds": ("double", "x", (), r"8000 bytes, was allocated at .*out_of_bounds.py:\d+"),
    "between_rows": ("zero_rows", "x", (), ""),
    "use_after_free": ("add_one", "", (), r"allocated at .*use_after_free.py:\d+ and freed at .*use_after_free.py:\d+"),
    "uninitialised_read": ("accumulate", "total", (0,), r"allocated at .*uninitialised_read.py:\d+"),
    "undefined_lanes": ("row_sum", "out", (0,), r"undefined by the load at undefined_lanes.py:\d+"),
    "race_between_programs": (
        "sum_all",
        "total",
        (0,),
        r"program \(\d, 0, 0\) wrote it at race_between_programs.py:\d+",
    ),
    "race_between_streams": ("copy", "source", (0,), r"kernel copy on stream 0 wrote it, launched at .*.py:\d+"),
    "race_with_host": ("copy to the device", "the pinned tensor", (0,), ""),
    "uninitialised_local_read": ("trigger", "tile", (0, 32), r"allocated at uninitialised_local_read.cpp:\d+"),
    "race_between_roles": ("trigger", "tile", (0, 0), r"role load wrote it at race_between_roles.cpp:\d+"),
    "load_overtakes_store": ("trigger", "x", (32,), r"stores it at load_overtakes_store.cpp:\d+, and no barrier"),
}
ROLES = {"uninitialised_local_read": "role<32>", "race_between_roles": "store", "load_overtakes_store": "role<false>"}


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
    assert set(marked_lines(name)) <= {Path(finding["line"]).name for finding in found}, found
    finding = next(finding for finding in found if Path(finding["line"]).name in marked_lines(name))
    kernel, tensor, index, before = PLACES[name]
    assert (finding["kernel"], finding["tensor"], finding["index"]) == (kernel, tensor, index)
    assert re.search(before, finding["before"]), finding["before"]
    assert Path(finding["launched"]).name.startswith(f"{name}.py:")
    if finding["line"].startswith(name):  # of a launch, not of a copy
        if (KERNELS / f"{name}.cpp").exists():
            assert (finding["pe"], finding["role"]) == (0, ROLES[name])
        else:
            assert len(finding["program"]) == 3 and finding["pe"] >= 0
            assert finding["instruction"] >= 0 and finding["disassembly"]
        assert finding["line"] in finding["where"]


@pytest.mark.unchecked(reason="on_finding and seed are the outer period's")
def test_findings_are_written_as_json(tmp_path: Path) -> None:
    path = tmp_path / "findings.json"
    torch.mtia_sim.clear_findings()
    warns = pytest.warns(checking.CheckWarning, match=r"out_of_bounds: kernel double, program \(1, 0, 0\)")
    with warns, torch.mtia_sim.check(on_finding="warn", json=path):
        module_of("out_of_bounds").trigger()
    finding = json.loads(path.read_text())[0]
    assert (finding["check"], finding["error"], finding["severity"]) == ("out_of_bounds", "OutOfBounds", "error")
    assert [finding["line"]] == marked_lines("out_of_bounds")


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
