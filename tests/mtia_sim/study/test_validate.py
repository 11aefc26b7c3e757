"""`python -m mtia_sim validate`: the table of published figures, and what it says of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from mtia_core import chips
from mtia_sim.__main__ import main
from mtia_sim.study.figures import FIGURES, INTENSE, Figure
from mtia_sim.study.runs import CACHE_VARIABLE, Run
from mtia_sim.study.validate_command import summary


def test_figures_are_of_chips_that_there_are_and_none_is_given_twice() -> None:
    names = set(chips.names())
    for figure in FIGURES:
        assert figure.chip in names and figure.published > 0 and figure.source and figure.unit
        assert figure.runs and all(run.chip == figure.chip for run in figure.runs)
    assert len({(figure.chip, figure.what) for figure in FIGURES}) == len(FIGURES)


def test_the_set_of_products_is_large_and_intense() -> None:
    assert len(set(INTENSE)) == len(INTENSE) >= 40
    for rows, columns, depth in INTENSE:
        moved = 2 * (rows * depth + depth * columns + rows * columns)
        assert 2 * rows * columns * depth / moved > 400


def figure(published: float, published_to: float | None = None) -> Figure:
    run = Run("gemm", "mtia300")
    return Figure("mtia300", "it", published, "W", "me", "checks", (run,), lambda chip, found: 0.0, "", published_to)


def test_errors_are_fractions_and_none_within_a_published_range() -> None:
    assert figure(100).error(110) == pytest.approx(0.1)
    assert figure(100).error(50) == pytest.approx(-0.5)
    assert figure(5, 20).error(12) == 0
    assert figure(5, 20).error(25) == pytest.approx(0.25)
    assert figure(5, 20).error(4) == pytest.approx(-0.2)


def test_the_summary_counts_checks_alone() -> None:
    rows: list[dict[str, Any]] = [
        {"role": "checks", "error": 0.1, "chip": "a", "what": "x"},
        {"role": "checks", "error": -0.3, "chip": "b", "what": "y"},
        {"role": "calibrates", "error": 0.9, "chip": "c", "what": "z"},
    ]
    assert summary(rows) == "2 checks: mean error 20.0%, worst -30.0% (b: y); 1 figures calibrate"


def test_figures_of_one_chip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Products on mtia2i come within 5 % of what was published (the bound is that of docs/validation.md)."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "study"))
    only = tuple(each for each in FIGURES if each.chip == "mtia2i" and all("gemm" in run.workload for run in each.runs))
    monkeypatch.setattr("mtia_sim.study.validate_command.FIGURES", only)
    assert main(["validate", "--json", str(tmp_path / "rows.json"), "--markdown", str(tmp_path / "rows.md")]) == 0
    rows = json.loads((tmp_path / "rows.json").read_text())
    checks = [row for row in rows if row["role"] == "checks"]
    assert len(checks) >= 3 and all(abs(row["error"]) < 0.05 for row in checks)
    assert f"{len(checks)} checks: mean error" in capsys.readouterr().out
    assert (tmp_path / "rows.md").read_text().count("| mtia2i |") == len(rows)


def test_a_chip_without_figures_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--chips", "mtia9"]) == 2
    assert "no figure is of mtia9" in capsys.readouterr().err
