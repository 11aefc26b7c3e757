"""MTIA_SIM_CHECK and the variables beside it, each in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = """
import torch
import triton
import triton.language as tl

@triton.jit
def copy(out, x, BLOCK: tl.constexpr):
    place = tl.arange(0, BLOCK)
    tl.store(out + place, tl.load(x + place))

x = torch.empty(64, device="mtia_sim")  # allocated
out = torch.zeros(64, device="mtia_sim")
large = torch.ones(1024, 1024, device="mtia_sim")
for _ in range(10):
    large @ large  # the device is busy when the program ends
copy[(1,)](out, x, BLOCK=64)  # launched
"""


def run(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "script.py").write_text(SCRIPT)
    variables = {**os.environ, "MTIA_SIM_CHECK": "1", **environment}
    return subprocess.run([sys.executable, "script.py"], cwd=folder, env=variables, capture_output=True, text=True)


def line_of(text: str) -> str:
    return f"script.py:{next(number for number, line in enumerate(SCRIPT.splitlines(), 1) if line.endswith(text))}"


def check_finding(path: Path) -> None:
    findings: list[dict[str, Any]] = json.loads(path.read_text())
    assert [finding["check"] for finding in findings] == ["uninitialised_read"]
    # The user's own lines: Triton was imported after checked mode had begun, its launcher is nobody's.
    assert findings[0]["launched"].endswith(line_of("# launched"))
    assert line_of("# allocated") in findings[0]["before"]


def test_findings_that_nobody_waited_for_are_in_the_file(tmp_path: Path) -> None:
    done = run(tmp_path, MTIA_SIM_CHECK_JSON=str(tmp_path / "findings.json"))
    assert "an error that no call waited for: UninitialisedRead: kernel copy" in done.stderr
    check_finding(tmp_path / "findings.json")


def test_warnings_come_at_the_end_where_nobody_waits(tmp_path: Path) -> None:
    path = tmp_path / "findings.json"
    done = run(tmp_path, MTIA_SIM_CHECK_JSON=str(path), MTIA_SIM_CHECK_ON_FINDING="warn")
    assert done.returncode == 0 and "CheckWarning: uninitialised_read: kernel copy" in done.stderr
    check_finding(path)


@pytest.mark.parametrize(
    ("variable", "value", "remedy"),
    [
        ("MTIA_SIM_CHECK_ON_FINDING", "shout", 'set it to "raise" or "warn"'),
        ("MTIA_SIM_CHECK_SEED", "dice", "set it to a number"),
    ],
)
def test_a_wrong_choice_is_refused(tmp_path: Path, variable: str, value: str, remedy: str) -> None:
    done = run(tmp_path, **{variable: value})
    assert done.returncode == 1
    assert f"{variable}={value}; {remedy}" in done.stderr
