"""`python -m mtia_sim design`: small searches, budgets, resumption, refusals."""

import json
from pathlib import Path
from typing import Any

import pytest

from mtia_core import chips
from mtia_core.errors import InvalidArgument
from mtia_sim.__main__ import main
from mtia_sim.study import design_command
from mtia_sim.study.design import link_bytes
from mtia_sim.study.runs import CACHE_VARIABLE
from mtia_sim.study.workloads import Options

pytest.importorskip("optuna")
WORDS = ["--workload", "gemm", "--shape", "256x256x256", "--vary", "pe_rows=6:14", "--vary", "clock_hz=1e9:2e9"]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("study")))
        yield


def designed(out: Path, *words: str, candidates: int = 4) -> dict[str, Any]:
    file = out / "design.json"
    out.mkdir(exist_ok=True)
    command = ["design", *WORDS, "--candidates", str(candidates), "--out", str(out), "--json", str(file)]
    assert main([*command, *(words or ("--processes", "1"))]) == 0
    found: dict[str, Any] = json.loads(file.read_text())
    return found


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("small")
    return out, designed(out)


def test_a_front_within_the_budgets(small: tuple[Path, dict[str, Any]]) -> None:
    out, found = small
    assert len(found["candidates"]) == 4 and found["front"]
    for point in found["front"]:
        assert point["square_millimetres"] <= found["budgets"]["square_millimetres"] * (1 + 1e-9)
        assert point["watts"] <= found["budgets"]["watts"] * (1 + 1e-9)
        assert point["over"] == []
        assert point["watts"] == pytest.approx(point["rate"] * point["joules"])
        for other in found["front"]:
            better = [
                other["rate"] > point["rate"],
                other["joules"] < point["joules"],
                other["square_millimetres"] < point["square_millimetres"],
            ]
            assert other == point or not all(better)
    assert (out / "design.png").stat().st_size > 10_000
    best = chips.load(out / "best.toml")
    assert best.clock_hz == found["best"]["chosen"]["clock_hz"]
    assert len(list(out.glob("front*.toml"))) == len(found["front"])


def test_the_best_point_runs_the_same_in_a_process_of_its_own(small: tuple[Path, dict[str, Any]]) -> None:
    best, repeated = small[1]["best"], small[1]["repeated"]
    assert repeated[0] == best["seconds"]
    assert repeated[1] == pytest.approx(best["joules"], rel=1e-12)


def test_each_field_is_moved_both_ways(small: tuple[Path, dict[str, Any]]) -> None:
    changes = small[1]["changes"]
    assert [change["field"] for change in changes] == ["pe_rows", "pe_rows", "clock_hz", "clock_hz"]
    assert changes[0]["factor"] > 1 > changes[1]["factor"]
    assert changes[0]["point"]["square_millimetres"] > small[1]["best"]["square_millimetres"]


@pytest.mark.slow
def test_a_seed_decides_whatever_the_processes(small: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    assert designed(tmp_path / "again", "--processes", "2")["candidates"] == small[1]["candidates"]


def test_an_interrupted_search_goes_on(
    small: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupt(done: int, of: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(design_command, "show_progress", interrupt)
        words = ["--candidates", "4", "--processes", "1", "--out", str(tmp_path)]
        assert main(["design", *WORDS, *words]) == 130
    assert "interrupted" in capsys.readouterr().err
    with (tmp_path / "study.jsonl").open("a") as file:
        file.write('{"chosen": "cut of')
    assert designed(tmp_path) == small[1]
    assert "goes on from" in capsys.readouterr().err


def test_more_candidates_of_the_same_study(small: tuple[Path, dict[str, Any]]) -> None:
    out, found = small
    more = designed(out, candidates=6)
    assert more["candidates"][:4] == found["candidates"] and len(more["candidates"]) == 6


def test_another_question_in_the_same_folder_is_refused(
    small: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["design", *WORDS, "--seed", "7", "--out", str(small[0])]) == 2
    assert "keeps a study with another seed; ask the same" in capsys.readouterr().err
    assert main(["design", *WORDS, "--stacks", "2", "--out", str(small[0])]) == 2
    assert "keeps a study with another silicon; ask the same" in capsys.readouterr().err


def test_a_refused_question_leaves_the_folder_free(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--candidates", "1", "--processes", "1", "--seed", "-1", "--out", str(tmp_path)]
    assert main(["design", *WORDS, *words, "--area", "50"]) == 2
    (tmp_path / "study.jsonl").write_text('{"question": {"seed": 3}}\n')  # of a question with no answer
    assert main(["design", *WORDS, *words]) == 0
    (tmp_path / "study.jsonl").write_text('{"question": 3}\n{}\n')
    assert main(["design", *WORDS, *words]) == 2
    assert "does not say what it keeps; give another --out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--area", "50"], "--area 50 is impossible: the smallest chip of these ranges takes"),
        (["--cost", "5"], "--cost 5 is impossible"),
        (["--power", "9"], "--power 9 is impossible: the smallest chip of these ranges takes"),
        (["--candidates", "0"], "--candidates 0 is not positive"),
        (["--base", "mtia9"], "no chip and no file 'mtia9'"),
        (["--base", "tpu_v5e"], "add --process"),
        (["--vary", "pe_rows=3:2"], "begins above its end"),
        (["--workload", "gem"], "there is no workload 'gem'"),
        (["--shape", "3"], "--shape '3' is no shape"),
        (["--price", "none.toml"], "no price file"),
        (["--area", "nan"], "--area nan is no budget; give a number above 0"),
        (["--vary", "replace_ns=0:100"], "--vary replace_ns=0:100 begins at 0"),
    ],
)
def test_wrong_questions_are_refused_in_a_sentence(
    words: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = WORDS if "--vary" not in words and "--base" not in words else WORDS[:4]
    assert main(["design", *given, *words, "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert expected in error and "Traceback" not in error


def test_budgets_that_no_candidate_keeps_are_named(
    small: tuple[Path, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    watts = 0.995 * small[1]["base"]["watts"]
    words = ["--vary", "clock_hz=1.9e9:2e9", "--power", str(watts), "--candidates", "1", "--processes", "1"]
    assert main(["design", *WORDS[:4], *words, "--out", str(tmp_path)]) == 2
    assert "none of 1 candidates keeps within the budgets (exceeded: power 1 times" in capsys.readouterr().err


def test_a_workload_without_room_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--workload", "llama3-8b-prefill", "--layers", "1", "--seq", "128", "--base", "mtia300"]
    chip = tmp_path / "small.toml"
    chip.write_text('name = "mtia300"\nbase = "mtia300"\n[dram]\ndram_bytes = 1e9\n')
    words[-1] = str(chip)
    assert main(["design", *words, "--out", str(tmp_path)]) == 2
    assert "mtia300 does not run llama3-8b-prefill" in capsys.readouterr().err


def test_a_price_sets_the_costs(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text("[chips.mtia300]\nchip_dollars = 9000\n")
    chip = chips.load("mtia300")
    assert design_command.base_of(chip, None, None, path).dollars == pytest.approx(9000)
    with pytest.raises(InvalidArgument, match="has no price of mtia2i"):
        design_command.base_of(chips.load("mtia2i"), None, None, path)


def test_links_carry_sharded_weights_in_training_alone() -> None:
    assert link_bytes("gemm", Options()) == 0
    one, whole = (link_bytes("llama3-8b-train", Options(layers=layers)) for layers in (1, None))
    assert whole == pytest.approx(3 * 2 * 8.03e9, rel=0.01)
    assert one == pytest.approx(3 * 2 * (2 * 128256 * 4096 + 218.1e6), rel=0.01)
