"""Checked mode in C++ kernels: findings name the kernel, the PE and the line of the call."""

from pathlib import Path

import pytest
import torch

from mtia_core import errors

RACES = Path(__file__).parent / "cpp_kernels" / "races.cpp"


def line_of(text: str) -> str:
    lines = RACES.read_text().splitlines()
    return f"races.cpp:{next(number for number, line in enumerate(lines, 1) if line.endswith(text))}"


@pytest.fixture(autouse=True)
def forget_findings() -> None:
    torch.mtia_sim.clear_findings()


def test_pes_with_rows_of_their_own_do_not_race() -> None:
    x = torch.randn(32, 64)
    with torch.mtia_sim.check():
        out = torch.empty(32, 64, device="mtia_sim")
        torch.mtia_sim.load_kernel(RACES)[8](x.to("mtia_sim"), out, 0)
        torch.testing.assert_close(out.cpu(), x)
    assert torch.mtia_sim.findings() == []


def test_pes_that_store_to_one_row_race() -> None:
    with torch.mtia_sim.check():
        out = torch.zeros(32, 64, device="mtia_sim")
        torch.mtia_sim.load_kernel(RACES)[8](torch.randn(32, 64, device="mtia_sim"), out, 1)
        with pytest.raises(
            errors.DataRace,
            match=r"kernel copies, role copy_rows on PE \d+.*races.cpp:\d+.*role copy_rows on PE \d+ wrote it",
        ):
            torch.mtia_sim.synchronize()
    (finding,) = torch.mtia_sim.findings()
    assert (finding["line"], finding["role"]) == (line_of("// store"), "copy_rows")
    assert (finding["tensor"], finding["index"]) == ("out", (0, 0))


def test_a_load_of_what_nothing_wrote() -> None:
    with torch.mtia_sim.check():
        x, out = torch.empty(2, 32, 64, device="mtia_sim")
        torch.mtia_sim.load_kernel(RACES)[8](x, out, 0)
        with pytest.raises(errors.UninitialisedRead, match="kernel copies, role copy_rows on PE 0"):
            torch.mtia_sim.synchronize()
    assert {finding["line"] for finding in torch.mtia_sim.findings()} == {line_of("// load")}
