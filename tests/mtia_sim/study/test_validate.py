"""`python -m mtia_sim validate`: the table of published figures, and what it says of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from mtia_core import chips
from mtia_sim.__main__ import main
from mtia_sim.study.figures import FIGURES, Figure
from mtia_sim.study.metrics import idle_watts, joules, of_whole, rate, share_of, teraflops
from mtia_sim.study.product_shapes import INTENSE, MLPERF, layers, with_gradients
from mtia_sim.study.runs import CACHE_VARIABLE, Run, measured_all
from mtia_sim.study.validate_command import by_kind, summary
from mtia_sim.study.workloads import Options


def test_figures_are_of_chips_that_there_are_and_none_is_given_twice() -> None:
    names = set(chips.names())
    for figure in FIGURES:
        assert figure.chip in names and figure.published > 0 and figure.source and figure.unit
        assert all(run.chip == figure.chip for run in figure.runs) and (figure.runs or figure.unit in ("W", "TFLOP/s"))
    assert len({(figure.chip, figure.what) for figure in FIGURES}) == len(FIGURES)
    assert sum(figure.role == "checks" for figure in FIGURES) >= 30


def test_the_set_of_products_is_large_and_intense() -> None:
    assert 40 <= len(INTENSE) <= 80
    for rows, columns, depth in INTENSE:
        moved = 2 * (rows * depth + depth * columns + rows * columns)
        assert 2 * rows * columns * depth / moved > 400


def test_layers_are_trained_by_three_products_each() -> None:
    assert with_gradients((8, 4, 2)) == ((8, 4, 2), (8, 2, 4), (2, 4, 8))
    assert layers(8, 2, 4, 3) == with_gradients((8, 4, 2), (8, 3, 4))
    assert (8192, 1024, 3456) in MLPERF and (3456, 1024, 8192) in MLPERF


def figure(published: float, published_to: float | None = None, sense: Any = "") -> Figure:
    run = Run("gemm", "mtia300")
    return Figure("mtia300", "it", published, "W", "me", "checks", (run,), rate, "", sense, published_to)


def test_errors_are_fractions_and_none_where_what_was_published_holds() -> None:
    assert figure(100).error(110) == pytest.approx(0.1)
    assert figure(100).error(50) == pytest.approx(-0.5)
    assert figure(5, 20).error(12) == 0
    assert figure(5, 20).error(25) == pytest.approx(0.25)
    assert figure(5, 20).error(4) == pytest.approx(-0.2)
    assert figure(90, sense="at least").error(98) == 0
    assert figure(90, sense="at least").error(81) == pytest.approx(-0.1)
    assert figure(600, sense="at most").error(200) == 0
    assert figure(600, sense="at most").error(0) == 0
    assert figure(600, sense="at most").error(900) == pytest.approx(0.5)


def measurement(**values: Any) -> dict[str, Any]:
    return {"seconds": 2.0, "joules": 20.0, "items": 4.0, "model_flops": 6e12, "layers": None, **values}


def test_metrics() -> None:
    chip = chips.load("mtia300")
    one, other = measurement(), measurement(model_flops=8e12)
    assert teraflops(chip, [one, other]) == pytest.approx(3.5)
    assert share_of(7)(chip, [one, other]) == pytest.approx(50)
    assert rate(chip, [one]) == 2 and joules(chip, [one]) == 5
    assert 0 < idle_watts(chip, []) < chip.tdp_watts


def test_a_model_with_all_layers_is_told_from_two_shorter_ones() -> None:
    chip = chips.load("mtia300")
    shorter = [measurement(layers=layers, seconds=1 + 0.5 * layers, joules=10.0 * layers) for layers in (2, 4)]
    assert of_whole("llama3-8b", rate)(chip, shorter) == pytest.approx(4 / (1 + 0.5 * 32))
    assert of_whole("llama3-8b", joules)(chip, shorter) == pytest.approx(10 * 32 / 4)


def test_shorter_models_tell_of_longer_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    runs = [Run("llama3-8b-train", "mtia300", Options(sequence=256, layers=layers)) for layers in (1, 2, 3)]
    first, second, third = (measured_all(runs)[run]["seconds"] for run in runs)
    assert third == pytest.approx(2 * second - first, rel=0.02)


def test_the_summary_counts_checks_alone() -> None:
    rows: list[dict[str, Any]] = [
        {"role": "checks", "error": 0.1, "chip": "a", "what": "x"},
        {"role": "checks", "error": -0.3, "chip": "b", "what": "y"},
        {"role": "calibrates", "error": 0.9, "chip": "c", "what": "z"},
    ]
    assert summary(rows) == "2 checks: mean error 20.0%, worst -30.0% (b: y); 1 figures calibrate"


def test_kinds_are_counted_apart() -> None:
    rows: list[dict[str, Any]] = [
        {"role": "checks", "kind": "power", "error": 0.1},
        {"role": "checks", "kind": "power", "error": -0.3},
        {"role": "calibrates", "kind": "power", "error": 0.9},
        {"role": "checks", "kind": "streams", "error": 0.0},
    ]
    assert by_kind(rows) == [("power", 2, pytest.approx(0.2), pytest.approx(0.3)), ("streams", 1, 0.0, 0.0)]
    assert {each.kind for each in FIGURES} == {
        "products", "streams", "attention", "training", "serving", "energy", "power",
    }  # fmt: skip


def test_figures_of_one_chip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Products on mtia2i come within 5 % of what was published (the bound is that of docs/validation.md)."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "study"))
    only = tuple(
        each
        for each in FIGURES
        if each.chip == "mtia2i" and each.runs and all("gemm" in run.workload for run in each.runs)
    )
    monkeypatch.setattr("mtia_sim.study.validate_command.FIGURES", only)
    assert main(["validate", "--json", str(tmp_path / "rows.json"), "--markdown", str(tmp_path / "rows.md")]) == 0
    rows = json.loads((tmp_path / "rows.json").read_text())
    checks = [row for row in rows if row["role"] == "checks"]
    assert len(checks) >= 3 and all(abs(row["error"]) < 0.05 for row in checks)
    assert f"{len(checks)} checks: mean error" in capsys.readouterr().out
    assert (tmp_path / "rows.md").read_text().count("| mtia2i |") == len(rows)


def test_a_chip_without_figures_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--chips", "mtia9"]) == 2
    assert "no figure is of mtia9; give some of" in capsys.readouterr().err
    assert main(["validate", "--chips", "mtia1, mtia9"]) == 2
    assert "no figure is of mtia9; give some of" in capsys.readouterr().err


def test_what_cannot_be_written_is_said_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for word in ("--json", "--markdown"):
        assert main(["validate", "--chips", "mtia1", word, str(tmp_path)]) == 2
        assert "nothing can be written there" in capsys.readouterr().err


def test_an_interrupted_validation_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mtia_sim.study.validate_command.measured_all", interrupted)
    assert main(["validate", "--chips", "mtia1"]) == 130
    assert "validate: interrupted; what was measured is remembered" in capsys.readouterr().err
