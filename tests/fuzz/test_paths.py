"""Two ways to the same number give the same bits: random programs on each path of the host, in fresh processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.paths import without_nans

ROOT = Path(__file__).parents[2]
PATHS = [
    {"MTIA_SIM_THREADS": "1"},
    {"MTIA_SIM_HOST_ISA": "avx2"},
    {"MTIA_SIM_HOST_ISA": "plain"},
    {"MTIA_SIM_CHECK": "1", "MTIA_SIM_CHECK_ON_FINDING": "warn"},
]


def lines(path: dict[str, str], *module: str) -> list[str]:
    """What a module of this folder prints; products of narrow floats have their portable order."""
    environment = {
        **os.environ,
        "MTIA_SIM_HOST_BITS": "portable",
        "MTIA_SIM_THREADS": "2",
        "MTIA_SIM_CHECK": "0",
        **path,
    }
    command = [sys.executable, "-W", "ignore", "-m", *module]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def digests(path: dict[str, str], cases: int, seed: int) -> list[str]:
    return lines(path, "tests.fuzz.paths", "--cases", str(cases), "--seed", str(seed))


def check(paths: list[dict[str, str]], cases: int, seed: int) -> None:
    expected = digests({}, cases, seed)
    assert len(expected) == cases and sum(" digest " in line for line in expected) > cases / 2, expected
    for path in paths:
        for line, found in zip(expected, digests(path, cases, seed), strict=True):
            assert found == line, f"{path}: python -m tests.fuzz.paths --seed {seed}"


def test_fused_unfused_and_plain_loops_agree() -> None:
    check(PATHS[2:3], 40, 20261129)


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS, ids=str)
def test_chains_with_exponentials_and_reductions_agree_in_bits_and_chip_time(path: dict[str, str]) -> None:
    expected = lines({}, "tests.fuzz.operator_paths")
    assert len(expected) == 3 * (6 + 28)
    for line, found in zip(expected, lines(path, "tests.fuzz.operator_paths"), strict=True):
        assert found == line, f"{path}: python -m tests.fuzz.operator_paths"


@pytest.mark.slow
def test_all_paths_agree() -> None:
    check(PATHS, 1000, 20261130)


def test_one_nan_stands_for_all() -> None:
    assert (
        without_nans(b"\x01\x00\xc0\x7f\x00\x00\x80\x7f", "f32")
        == without_nans(b"\x02\x00\xf0\xff", "f32") + b"\x00\x00\x80\x7f"
    )
    assert without_nans(b"\x80\x7f\x81\xff", "bf16") == b"\x80\x7f\x81\x7f"
    assert without_nans(b"\xff\xff", "i16") == b"\xff\xff"
