"""`python -m mtia_sim compare`: rows of several chips, what does not fit, intervals, prices, refusals."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mtia_core import chips
from mtia_core.errors import InvalidArgument, InvalidChip
from mtia_sim.__main__ import main
from mtia_sim.study import prices, runs
from mtia_sim.study.arguments import number
from mtia_sim.study.compare_command import text
from mtia_sim.study.comparison import row_of_measurement, verdict
from mtia_sim.study.runs import CACHE_VARIABLE, Run, measured
from mtia_sim.study.uncertainty import Costing, Interval, assumed_ranges, interval
from mtia_sim.study.workloads import Options

SMALL = ["--layers", "1", "--seq", "256"]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("study")))
        yield


def compared(tmp_path: Path, *words: str) -> list[dict[str, Any]]:
    out = tmp_path / "rows.json"
    assert main(["compare", *words, "--json", str(out)]) == 0
    rows: list[dict[str, Any]] = json.loads(out.read_text())
    return rows


def test_a_training_step_on_two_chips(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--workload", "llama3-8b-train", *SMALL, "--chips", "mtia300,mtia2i"]
    rows = compared(tmp_path, *words, "--out", str(tmp_path / "pictures"))
    text = capsys.readouterr().out
    assert [row["chip"] for row in rows] == ["mtia300", "mtia2i"]
    for row in rows:
        assert row["fits"] and row["memory_bytes"] > 2 << 30
        assert row["seconds"]["low"] <= row["seconds"]["value"] <= row["seconds"]["high"]
        assert row["rate"]["value"] * row["seconds"]["value"] == pytest.approx(256)
        assert row["watts"]["value"] == pytest.approx(row["joules"]["value"] * row["rate"]["value"])
        assert 0 < row["utilisation"] < 1
    assert rows[0]["rate"]["low"] > rows[1]["rate"]["high"]
    assert "most tokens a second: mtia300" in text and "llama3-8b with 1 layers" in text
    assert (tmp_path / "pictures" / "compare.png").stat().st_size > 10_000


def test_a_workload_that_does_not_fit_says_what_would(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--workload", "llama3-8b-prefill", *SMALL, "--chips", "mtia300", "--set", "dram_bytes=1e9"]
    (row,) = compared(tmp_path, *words)
    text = capsys.readouterr().out
    assert not row["fits"] and row["memory_bytes"] > 2e9 and row["seconds"]["value"] > 0
    assert "does not fit mtia300-changed: needs" in text and "chips would hold it" in text


def test_a_measurement_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run("gemm", "mtia300", Options(shape=(512, 512, 512)))
    first = measured(run)

    def refuse(*words: Any, **options: Any) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(runs.subprocess, "Popen", refuse)
    assert measured(run) == first
    with pytest.raises(AssertionError):
        measured(Run("gemm", "mtia300", Options(shape=(512, 512, 256))))


@pytest.mark.parametrize(
    ("change", "workload"),
    [
        ({"dot_f32_macs_per_cycle": 500}, Run("gemm", "mtia300", Options(dtype="float32", shape=(2048, 2048, 2048)))),
        ({"dram_efficiency": 0.7}, Run("llama3-8b-decode", "mtia300", Options(sequence=512, layers=1))),
        pytest.param(
            {"replace_ns": 3000},
            Run("llama3-8b-decode", "mtia300", Options(sequence=512, layers=1)),
            marks=pytest.mark.slow,
        ),
        ({"dram_picojoules_per_byte": 50}, Run("llama3-8b-decode", "mtia300", Options(sequence=512, layers=1))),
        pytest.param(
            {"clock_watts": 400}, Run("gemm", "mtia300", Options(shape=(2048, 2048, 2048))), marks=pytest.mark.slow
        ),
        ({"power_limit_watts": 400}, Run("gemm", "mtia300", Options(shape=(4096, 4096, 4096)))),
        pytest.param(
            {"dot_f16_picojoules_per_mac": 2.0},
            Run("gemm", "h100", Options(shape=(4096, 4096, 4096))),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_costing_from_sums_agrees_with_a_rerun(change: dict[str, float], workload: Run) -> None:
    chip = workload.load()
    seconds, joules = Costing(measured(workload), chip).cost(change)
    rerun = measured(Run(workload.workload, workload.chip, workload.options, tuple(change.items())))
    assert seconds == pytest.approx(rerun["seconds"], rel=0.05)
    assert joules == pytest.approx(rerun["joules"], rel=0.05)
    same_seconds, same_joules = Costing(measured(workload), chip).cost({})
    assert same_seconds == pytest.approx(measured(workload)["seconds"], rel=1e-9)
    assert same_joules == pytest.approx(measured(workload)["joules"], rel=0.02)


def test_published_numbers_have_no_range() -> None:
    ranges = assumed_ranges(chips.load("mtia300"), "bfloat16")
    assert "dram_efficiency" not in ranges and "sram_bytes_per_second" not in ranges
    low, high = ranges["dram_latency_ns"]
    assert low < chips.load("mtia300").dram_latency_ns < high


def test_numbers_of_tables_have_three_digits_and_no_powers_of_ten() -> None:
    shown = [number(value) for value in (0.0123456, 999.4, 999.6, 1000.0, 123456.7)]
    assert shown == ["0.0123", "999", "1,000", "1,000", "123,457"]


def test_the_power_limit_is_named_where_a_chip_draws_it() -> None:
    run = Run("gemm", "mtia300", Options(shape=(4096, 4096, 4096)), (("power_limit_watts", 400.0),))
    bound, free = (
        row_of_measurement(measured(each), each.load(), prices.load(), True) for each in (run, replace(run, changes=()))
    )
    assert bound.is_at_power_limit and ", power limit" in text([bound])
    assert not free.is_at_power_limit and "power limit" not in text([free])


def test_a_value_lies_in_its_interval() -> None:
    samples = [float(number) for number in range(101)]
    assert interval(50.0, samples) == Interval(50.0, 5.0, 95.0)
    assert interval(-1.0, samples) == Interval(-1.0, -1.0, 95.0)  # of a range that begins at the number itself
    assert interval(100.0, samples) == Interval(100.0, 5.0, 100.0)


def test_a_chip_with_a_price_has_dollars(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(
        "[site]\npue = 1.0\nhost_watts_per_chip = 0\nutilisation = 1.0\ncarbon_kg_per_kwh = 0.5\n"
        "[chips.mtia300]\nrent_dollars_per_hour = 3.6\n"
    )
    run = Run("gemm", "mtia300", Options(shape=(512, 512, 512)))
    measurement = measured(run)
    row = row_of_measurement(measurement, run.load(), prices.load(path), True)
    assert row.dollars is not None
    assert row.dollars.value == pytest.approx(1e6 * measurement["seconds"] * 1e-3)
    assert row.carbon.value == pytest.approx(1e6 * measurement["joules"] / 3.6e6 * 0.5)
    path.write_text("[site]\nutilisation = 1.0\n[chips.mtia300]\nchip_dollars = 35040\n")
    bought = row_of_measurement(measurement, run.load(), prices.load(path), True).dollars
    assert bought is not None and bought.value > 1e6 * measurement["seconds"] / 3600


def test_what_all_chips_of_a_site_share_leaves_no_verdict_open(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    run = Run("gemm", "mtia300", Options(shape=(2048, 2048, 2048)))
    path.write_text(
        "[site]\nutilisation = { value = 0.5, range = [0.1, 0.9] }\n"
        "[chips.mtia300]\nchip_dollars = 10000\n[chips.h100]\nchip_dollars = 20000\n"
    )
    rows = [
        row_of_measurement(measured(run), chips.load(name), prices.load(path), True) for name in ("mtia300", "h100")
    ]
    first, second = (row.dollars for row in rows)
    assert first is not None and second is not None and first.overlaps(second)
    assert verdict(rows, "dollars").startswith("mtia300, 1.")


def test_what_chips_cost_is_not_dear_for_all_or_for_none(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(
        "[chips.mtia300]\nchip_dollars = { value = 10000, range = [5000, 15000] }\n"
        "[chips.mtia300-changed]\nchip_dollars = { value = 12000, range = [6000, 18000] }\n"
    )
    run = Run("gemm", "mtia300", Options(shape=(2048, 2048, 2048)))
    twin = Run("gemm", "mtia300", run.options, (("launch_ns", chips.load("mtia300").launch_ns),))
    found = [row_of_measurement(measured(each), each.load(), prices.load(path), True) for each in (run, twin)]
    assert verdict(found, "dollars") == "open between mtia300 and mtia300-changed"


def test_a_changed_chip_has_the_price_of_the_chip_that_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "prices.toml"
    path.write_text("[chips.mtia300]\nchip_dollars = 10000\n[chips.mtia3]\nchip_dollars = 10000\n")
    words = ["--workload", "gemm", "--shape", "512x512x512", "--chips", "mtia300x1", "--set", "replace_ns=600"]
    (row,) = compared(tmp_path, *words, "--price", str(path))
    assert row["chip"] == "mtia300-changed" and row["dollars"]["value"] > 0
    assert "prices of mtia3 are of no chip here" in capsys.readouterr().err


def test_a_spoiled_measurement_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    run = Run("gemm", "mtia300", Options(shape=(64, 64, 64)))
    seconds = measured(run)["seconds"]
    (kept,) = tmp_path.glob("*.json")
    for spoiled in ("{}", "[]", "3", '{"fits": true}', "\xff"):
        kept.write_text(spoiled)
        assert measured(run)["seconds"] == seconds


def test_threads_may_keep_the_same_measurement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    run, answer = Run("gemm", "mtia300", Options(shape=(64, 64, 64))), {"fits": False}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: runs._keep(run, answer), range(200)))
    assert measured(run) == answer and len(list(tmp_path.iterdir())) == 1


def test_a_chip_file_may_have_any_name(tmp_path: Path) -> None:
    path = tmp_path / 'a "chip".toml'
    path.write_text('name = "mine"\nbase = "mtia300"\n')
    assert Run("gemm", str(path), changes=(("replace_ns", 600.0),)).load().replace_ns == 600


def test_a_chip_is_rented_or_bought(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text("[chips.h100]\nchip_dollars = 15000\n")
    assert set(prices.load(path).chips["h100"]) == {"chip_dollars"}
    path.write_text("[chips.h100]\nchip_dollars = 15000\nrent_dollars_per_hour = 3\n")
    with pytest.raises(InvalidArgument, match="h100 is rented and bought"):
        prices.load(path)


def test_an_own_function(tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text(
        "import torch\nx = torch.randn(512, 512, device='mtia_sim')\n\n\ndef step():\n    return (x @ x).relu()\n"
    )
    (row,) = compared(tmp_path, "--workload", f"{script}:step", "--chips", "mtia300", "--dtype", "float32")
    assert row["unit"] == "call" and row["utilisation"] is None and row["seconds"]["value"] > 0
    script.write_text(script.read_text().replace("relu()", "relu() @ x"))
    (changed,) = compared(tmp_path, "--workload", f"{script}:step", "--chips", "mtia300", "--dtype", "float32")
    assert changed["seconds"]["value"] > row["seconds"]["value"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--workload", "gemm", "--chips", "mtia9"], "no chip and no file 'mtia9'"),
        (["--workload", "gemm", "--chips", ","], "--chips names none"),
        (["--workload", "gem", "--chips", "mtia300"], "there is no workload 'gem'; give one of"),
        (["--workload", "no.py:step", "--chips", "mtia300"], "there is no file no.py"),
        (["--workload", "gemm", "--chips", "mtia300", "--shape", "3x3"], "--shape '3x3' is no shape"),
        (["--workload", "gemm", "--chips", "mtia300", "--set", "clock=3"], "no chip has a field clock"),
        (["--workload", "gemm", "--chips", "mtia300", "--set", "clock_hz"], "--set 'clock_hz' sets nothing"),
        (["--workload", "gemm", "--chips", "mtia300", "--set", "pe_rows=99"], "grid.pe_rows = 99"),
        (["--workload", "gemm", "--chips", "mtia300", "--set", "=3"], "--set '=3' sets nothing"),
        (
            ["--workload", "gemm", "--chips", "mtia300", "--set", "clock_hz=nan"],
            "mtia300, as changed: grid.clock_hz = nan",
        ),
        (["--workload", "gemm", "--chips", "mtia300", "--batch", "0"], "--batch 0 is not positive"),
        (["--workload", "gemm", "--chips", "mtia300", "--price", "none.toml"], "no price file"),
        (
            ["--workload", "gemm", "--chips", "a100,mtia300", "--dtype", "float8_e4m3fn"],
            "a100 have no products of float8_e4m3fn; leave them out",
        ),
        (["--workload", "gemm", "--chips", "mi300x16"], "there is no mi300; write mi300xx16"),
        (
            ["--workload", "gemm", "--chips", "mtia300", "--json", "/dev/full", "--shape", "512x512x512"],
            "No space left",
        ),
        (
            ["--workload", "attention", "--chips", "mtia300", "--shape", "7x3x64", "--seq", "256"],
            "attention on mtia300: attention ended with RuntimeError: ",
        ),
    ],
)
def test_wrong_questions_are_refused_in_a_sentence(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *words]) == 2
    error = capsys.readouterr().err
    assert expected in error and "Traceback" not in error


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("[site]\npue = -1\n", "site.pue = -1 is no price"),
        ("[site]\nrent = 1\n", "a site has no rent"),
        ("[towns]\n", r"no table \[towns\]"),
        ("[chips.h100]\nrent_dollars_per_hour = { value = 9, range = [1, 2] }\n", "outside of its range"),
        ("[site\n", "not a TOML file"),
        ("site = 3\n", r"site = 3 is no table; write \[site\]"),
        ("[chips]\nh100 = 3\n", r"chips.h100 = 3 is no table; write \[chips.h100\]"),
        ("[site]\npue = { value = 1.2, range = 3 }\n", "site.pue has the range 3; write range"),
        ("[site]\npue = { value = 1.2, rnage = [1.1, 1.3] }\n", "site.pue has no rnage; it has value, range"),
        ("[site]\nutilisation = 0\n", "site.utilisation = 0 is no price; give a number above 0, 1 at most"),
        ("[site]\nutilisation = { value = 0.9, range = [0.5, 2] }\n", "has the range"),
        ("[site]\npue = inf\n", "site.pue = inf is no price; give a number of 1 or more"),
        ("[site]\nlifetime_hours = 0\n", "give a number above 0"),
        (f"[chips.h100]\nchip_dollars = 1{'0' * 400}\n", "is no price"),
    ],
)
def test_wrong_prices_are_refused(given: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(given)
    with pytest.raises(InvalidArgument, match=expected):
        prices.load(path)


def test_a_changed_chip_needs_a_field_that_there_is() -> None:
    with pytest.raises(InvalidChip, match="no chip has a field nothing"):
        Run("gemm", "mtia300", changes=(("nothing", 1.0),)).load()
    changed = Run("llama3-8b-decode", "mtia300", changes=(("dram_bytes_per_second", 2e12),)).load()
    assert changed.dram_bytes_per_second == 2e12
    # What a user sets is what he asks about, not one more thing that is not known.
    assert assumed_ranges(changed, "bfloat16")["dram_bytes_per_second"] == (2e12, 2e12)
