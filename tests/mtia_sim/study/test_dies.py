"""Published dies: the table, the models fitted to it, and their errors on dies that did not calibrate them."""

import pytest

from mtia_sim.__main__ import main
from mtia_sim.study import dies
from mtia_sim.study.design_report import dies_text
from tests.source_tree import ROOT


def test_every_die_has_known_sources_and_one_role() -> None:
    sources = dies.table()["sources"]
    for die in dies.dies():
        assert die.role in ("calibrates", "checks")
        assert all(key in sources for key in die.source.split(", ")), die.name
        assert die.parts.process in dies.processes()
    assert sum(die.role == "checks" for die in dies.dies()) >= 10


def test_every_number_of_a_process_says_where_it_comes_from() -> None:
    for numbers in (*dies.table()["process"].values(), dies.table()["cost"]):
        for name, entry in numbers.items():
            assert entry["kind"] in ("published", "derived", "assumed"), name
            if entry["kind"] == "assumed":
                low, high = entry["range"]
                assert low <= entry["value"] <= high and entry["how"], name
            else:
                assert entry["source"].split(", ")[0] in dies.table()["sources"], name


@pytest.mark.parametrize(
    ("compared", "mean", "worst"), [(dies.compare_areas(), 0.22, 0.65), (dies.compare_powers(), 0.22, 0.55)]
)
def test_errors_of_dies_that_did_not_calibrate(
    compared: tuple[dies.Comparison, ...], mean: float, worst: float
) -> None:
    found_mean, found_worst = dies.mean_error(compared)
    assert found_mean < mean and found_worst < worst
    used = [abs(row.error) for row in compared if row.die.role == "calibrates"]
    assert sum(used) / len(used) < 0.2


def test_no_memory_is_smaller_than_its_macro() -> None:
    coefficients = dies.area_coefficients()
    assert min(coefficients["shared_mebibytes"], coefficients["local_mebibytes"]) >= 1
    assert all(value > 0 for value in (*coefficients.values(), *dies.power_coefficients().values()))


def test_the_document_has_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["design", "--dies"]) == 0
    assert capsys.readouterr().out == dies_text()
    assert dies_text() in (ROOT / "docs" / "design.md").read_text()
