"""Roles of C++ kernels in checked mode: right ones are clean in any order, wrong ones are found with line and place."""

from pathlib import Path
from typing import Any

import pytest
import torch

from mtia_core import errors

ROLES = Path(__file__).parent / "cpp_kernels" / "roles.cpp"
KERNELS = Path(__file__).parents[1] / "device" / "cpp_kernels"


@pytest.fixture(autouse=True)
def no_findings() -> None:
    torch.mtia_sim.clear_findings()


def line_of(text: str) -> str:
    lines = ROLES.read_text().splitlines()
    return f"roles.cpp:{next(number for number, line in enumerate(lines, 1) if line.endswith(text))}"


def only_finding(name: str, grid: int, *arguments: object) -> dict[str, Any]:
    with torch.mtia_sim.check():
        torch.mtia_sim.load_kernel(ROLES, name=name)[grid](*arguments)
        with pytest.raises((errors.DataRace, errors.UninitialisedRead)):
            torch.mtia_sim.synchronize()
    (finding,) = torch.mtia_sim.findings()
    return finding


@pytest.mark.parametrize("seed", [0, 3, 4])
def test_pages_of_a_circular_buffer_order_other_tiles(seed: int) -> None:
    x = torch.randn(6 * 64)
    with torch.mtia_sim.check(seed=seed):
        on_device = x.to("mtia_sim")
        torch.mtia_sim.load_kernel(ROLES, name="tile_with_token")[1](on_device)
        assert torch.equal(on_device.cpu(), x[: 3 * 64].repeat(2))
    assert torch.mtia_sim.findings() == []


def test_a_tile_that_is_loaded_before_the_other_role_has_read_it() -> None:
    finding = only_finding("tile_without_wait", 1, torch.randn(6 * 64, device="mtia_sim"))
    assert (finding["check"], finding["tensor"], finding["shape"]) == ("race_between_roles", "tile", (1, 64))
    assert (finding["index"], finding["pe"], finding["kernel"]) == ((0, 0), 0, "tile_without_wait")
    assert {finding["line"], finding["before"].split(" at ")[1].split(",")[0]} == {
        line_of("// early"),
        line_of("// before the other has read the last one"),
    }


def test_roles_that_share_a_tile_by_halves() -> None:
    x = torch.randn(6 * 64, device="mtia_sim")
    with torch.mtia_sim.check():
        torch.mtia_sim.load_kernel(ROLES, name="halves")[1](x)
        torch.mtia_sim.synchronize()
    assert torch.mtia_sim.findings() == []
    with torch.mtia_sim.check():
        torch.mtia_sim.load_kernel(ROLES, name="overlapping_halves")[1](x)
        with pytest.raises(errors.DataRace):
            torch.mtia_sim.synchronize()
    for finding in torch.mtia_sim.findings():
        assert (finding["check"], finding["shape"], finding["index"]) == ("race_between_roles", (1, 64), (0, 0))
        assert line_of("// upper") in finding["before"]


def test_parts_of_tiles_that_nobody_reads_may_be_unwritten() -> None:
    x = torch.randn(100)
    with torch.mtia_sim.check():
        on_device = x.to("mtia_sim")
        torch.mtia_sim.load_kernel(ROLES, name="parts")[1](on_device)
        x[:16] = x[-16:] = 2
        assert torch.equal(on_device.cpu(), x)
    assert torch.mtia_sim.findings() == []


def test_an_element_that_nothing_wrote() -> None:
    finding = only_finding("element", 1, torch.randn(100, device="mtia_sim"))
    assert (finding["check"], finding["line"]) == ("uninitialised_local_read", line_of("// read"))


def test_a_page_of_a_circular_buffer_forgets_what_it_held() -> None:
    finding = only_finding("half_a_page", 1, torch.randn(320, device="mtia_sim"))
    assert (finding["check"], finding["line"]) == ("uninitialised_local_read", line_of("// half"))
    assert (finding["tensor"], finding["shape"], finding["index"]) == ("circular buffer pages", (1, 64), (0, 32))


@pytest.mark.parametrize("name", ["gathers", "scatters"])
def test_indexed_loads_and_stores_are_ordered_row_by_row(name: str) -> None:
    x = torch.zeros(24, 64, device="mtia_sim")
    disjoint = {"gathers": [8, 9, 10, 11, 15, 14, 13, 12], "scatters": [0, 1, 2, 3, 4, 8, 10, 11]}[name]
    with torch.mtia_sim.check():
        rows = torch.tensor(disjoint, dtype=torch.int32, device="mtia_sim")
        torch.mtia_sim.load_kernel(ROLES, name=name)[1](x, rows)
        torch.mtia_sim.synchronize()
    assert torch.mtia_sim.findings() == []
    rows = torch.tensor([9, 8, 7, 20, 10, 11, 12, 13], dtype=torch.int32, device="mtia_sim")
    finding = only_finding(name, 1, x, rows)
    assert (finding["check"], finding["tensor"]) == ("load_overtakes_store", "x")
    assert finding["line"] == line_of({"gathers": "// gather", "scatters": "// load"}[name])
    assert finding["index"] == {"gathers": (7, 0), "scatters": (9, 0)}[name]
    assert "PE 0" in finding["where"]


def test_draws_from_a_work_queue_order_nothing() -> None:
    x = torch.randn(9 * 64, device="mtia_sim")
    with torch.mtia_sim.check():
        torch.mtia_sim.load_kernel(ROLES, name="relays")[4](x, 8)
        with pytest.raises(errors.DataRace, match=r"kernel relays, role relay on PE \d, roles.cpp:\d+"):
            torch.mtia_sim.synchronize()
    assert {finding["check"] for finding in torch.mtia_sim.findings()} == {"race_between_programs"}


@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_roles_and_pes_in_any_order(seed: int) -> None:
    a, b = torch.randn(200, 130), torch.randn(130, 300)
    with torch.mtia_sim.check(seed=seed):
        on_device = a.to("mtia_sim"), b.to("mtia_sim")
        for name in ("multicast_gemm", "split_k_gemm"):
            c = torch.empty(200, 300, device="mtia_sim")
            torch.mtia_sim.load_kernel(KERNELS / "between_pes.cpp", name=name)[3, 4](*on_device, c)
            torch.testing.assert_close(c.cpu(), a @ b, atol=1e-3, rtol=1e-3)
        narrow = [tensor.to(torch.bfloat16) for tensor in on_device]
        c = torch.empty(200, 300, dtype=torch.bfloat16, device="mtia_sim")
        torch.mtia_sim.load_kernel(KERNELS / "gemm.cpp")[()](*narrow, c, 1.0)
        torch.testing.assert_close(c.cpu().float(), a @ b, atol=0.3, rtol=3e-2)
    assert torch.mtia_sim.findings() == []


@pytest.mark.parametrize("seed", [0, 7])
def test_barriers_and_draws_are_no_races(seed: int) -> None:
    x = torch.randn(36 * 64)
    rows = torch.randn(100, 256)
    with torch.mtia_sim.check(seed=seed):
        on_device = x.to("mtia_sim")
        torch.mtia_sim.load_kernel(KERNELS / "between_pes.cpp", name="rotate_blocks")[6, 6](on_device, on_device, 2)
        assert torch.equal(on_device.cpu(), x.view(36, 64).roll(2, 0).flatten())
        out = torch.empty(100, 256, device="mtia_sim")
        owner = torch.empty(100, dtype=torch.int32, device="mtia_sim")
        kernel = torch.mtia_sim.load_kernel(KERNELS / "between_pes.cpp", name="draws")
        kernel[5](rows.to("mtia_sim"), out, owner, 100)
        torch.testing.assert_close(out.cpu(), rows + 1)
    assert torch.mtia_sim.findings() == []


@pytest.mark.parametrize("name", ["softmax", "transposes", "selects", "swaps", "gather"])
def test_units_are_clean(name: str) -> None:
    with torch.mtia_sim.check():
        kernel = torch.mtia_sim.load_kernel(KERNELS / "units.cpp", name=name)
        if name == "softmax":
            kernel[()](torch.randn(50, 128).to("mtia_sim"), torch.empty(50, 128, device="mtia_sim"))
        elif name == "swaps":
            kernel[1](torch.randn(128).to("mtia_sim"))
        elif name == "gather":
            indices = torch.randint(0, 64, (40,)).to("mtia_sim")
            kernel[2](torch.randn(64, 48).to("mtia_sim"), indices, torch.empty(40, 48, device="mtia_sim"))
        else:
            x = torch.randint(0, 9, (16, 24), dtype=torch.int32).to("mtia_sim")
            shape = (24, 16) if name == "transposes" else (16, 24)
            kernel[1](x, torch.empty(*shape, dtype=torch.int32, device="mtia_sim"))
        torch.mtia_sim.synchronize()
    assert torch.mtia_sim.findings() == []
