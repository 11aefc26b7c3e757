"""Chip files: complete, sourced, checked, and in agreement with the published figures that they were made from."""

import copy
import pickle
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mtia_core import chips
from mtia_core.errors import InvalidChip

SOURCES = re.compile(
    r"^(ISCA25|ISCA26|TritorX|KernelEvolve|HCCL|Micro26|HC26|Blog24|Blog26|Horowitz|Accelergy|TPUv4i)\b"
)
TERA = 1e12

MakeChip = Callable[[str], Path]


@pytest.fixture
def make_chip(tmp_path: Path) -> MakeChip:
    def make(text: str) -> Path:
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return path

    return make


def test_the_three_chips_are_there_and_mtia300_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MTIA_SIM_CHIP", raising=False)
    assert chips.names() == ["mtia1", "mtia2i", "mtia300"]
    assert chips.load().name == "mtia300"
    monkeypatch.setenv("MTIA_SIM_CHIP", "mtia2i")
    assert chips.load().name == "mtia2i"
    assert chips.load("mtia1").name == "mtia1"


@pytest.mark.parametrize("name", ["mtia1", "mtia2i", "mtia300"])
def test_every_number_has_a_source_beside_it(name: str) -> None:
    document = tomllib.loads(chips.load(name).path.read_text())
    written = {field: entry for table in document.values() if isinstance(table, dict) for field, entry in table.items()}
    assert set(written) == {field.name for field in chips.fields() if field.group not in chips.OPTIONAL_GROUPS}
    for field, entry in written.items():
        assert isinstance(entry, dict), f"{name}: {field} is a bare number"
        assert entry["kind"] in chips.KINDS
        if entry["kind"] == "assumed":
            assert entry["how"], f"{name}: {field} is assumed without a reason"
        else:
            assert SOURCES.match(entry["source"]), (
                f"{name}: {field} cites {entry['source']}, which is no key of chips.md"
            )


# ISCA25 table 2 and ISCA26 table I: fp16, int8 or fp8 peak in tera-operations, local memory and SRAM in TB/s.
@pytest.mark.parametrize(
    ("name", "f16_peak", "narrow_peak", "local_memory_rate"),
    [("mtia1", 51.2 * 1.024, 102.4 * 1.024, 0.4), ("mtia2i", 177, 354, 1.0), ("mtia300", 560, 1120, 1.9)],
)
def test_rates_multiply_to_the_published_peaks(
    name: str, f16_peak: float, narrow_peak: float, local_memory_rate: float
) -> None:
    chip = chips.load(name)
    macs = chip.processing_elements * chip.clock_hz
    assert 2 * macs * chip.dot_f16_macs_per_cycle / TERA == pytest.approx(f16_peak, rel=0.002)
    narrow = max(chip.dot_i8_macs_per_cycle, chip.dot_f8_macs_per_cycle)
    assert 2 * macs * narrow / TERA == pytest.approx(narrow_peak, rel=0.002)
    assert chip.local_memory_bytes_per_cycle * chip.clock_hz / TERA == pytest.approx(local_memory_rate, rel=0.002)


def busy_watts(chip: chips.Chip) -> dict[str, float]:
    """Returns the power of each part at its full rate. The engine moves 3/32 byte for each MAC (see the TOML)."""
    macs = chip.processing_elements * chip.clock_hz * chip.dot_f16_macs_per_cycle
    traffic = {"sram": chip.sram_bytes_per_second, "dram": chip.dram_bytes_per_second}
    return {
        "static": chip.static_watts,
        "dot": macs * chip.dot_f16_picojoules_per_mac / TERA,
        "local memory": macs * 3 / 32 * chip.local_memory_picojoules_per_byte / TERA,
        "sram": traffic["sram"] * chip.sram_picojoules_per_byte / TERA,
        "dram": traffic["dram"] * chip.dram_picojoules_per_byte / TERA,
        "network": sum(traffic.values()) * chip.network_picojoules_per_byte / TERA,
    }


@pytest.mark.parametrize("name", ["mtia1", "mtia2i", "mtia300"])
def test_static_power_is_calibrated_with_typical_power(name: str) -> None:
    chip = chips.load(name)
    watts = busy_watts(chip)
    assert watts["static"] + watts["dot"] + watts["local memory"] == pytest.approx(chip.typical_watts, rel=0.005)


@pytest.mark.parametrize("name", ["mtia1", "mtia2i", "mtia300"])
def test_everything_busy_comes_to_the_thermal_design_power(name: str) -> None:
    """The independent check of the energy model: no figure was fitted to the thermal design power."""
    chip = chips.load(name)
    assert sum(busy_watts(chip).values()) == pytest.approx(chip.tdp_watts, rel=0.2)


def test_a_users_file_may_change_some_fields_of_a_base(make_chip: MakeChip) -> None:
    path = make_chip('name = "faster"\nbase = "mtia2i"\n[grid]\nclock_hz = 2e9\n[dram]\ndram_bytes = 1e9\n')
    faster, base = chips.load(path), chips.load("mtia2i")
    assert faster.name == "faster"
    assert faster.clock_hz == 2e9
    assert faster.dram_bytes == 1_000_000_000
    assert isinstance(faster.dram_bytes, int)
    changed = {field for field, value in faster.values.items() if base.values[field] != value}
    assert changed == {"clock_hz", "dram_bytes"}
    assert faster.sources["clock_hz"].kind == "assumed"


def test_a_chip_is_read_again_when_its_file_or_base_has_changed(tmp_path: Path) -> None:
    base, chip = tmp_path / "base.toml", tmp_path / "chip.toml"
    text = (chips._DIRECTORY / "mtia300.toml").read_text()
    base.write_text(text)
    chip.write_text('name = "mine"\nbase = "base.toml"\n')
    first = chips.load(chip)
    assert chips.load(chip) is first
    base.write_text(text.replace('name = "mtia300"', 'name = "mtia300x"'))
    assert chips.load(chip) is not first
    chip.write_text('name = "yours"\nbase = "base.toml"\n')
    assert chips.load(chip).name == "yours"
    chip.unlink()
    with pytest.raises(InvalidChip):
        chips.load(chip)


def test_serialised_text_holds_every_field_once() -> None:
    chip = chips.load("mtia300")
    lines = dict(line.split("=") for line in chip.serialise().splitlines())
    assert lines.pop("name") == "mtia300"
    assert {name: float(value) for name, value in lines.items()} == dict(chip.values)


def test_chips_copy_and_pickle_and_name_a_missing_field() -> None:
    chip = chips.load("mtia1")
    assert pickle.loads(pickle.dumps(chip)) == chip == copy.deepcopy(chip)
    with pytest.raises(AttributeError, match="no field colour"):
        _ = chip.colour


BAD_FILES: list[tuple[str, list[Any]]] = [
    ("[grid]\npe_rows = 65", ["grid.pe_rows = 65 is out of range", "1 to 64"]),
    ("[grid]\npe_rows = 2.5", ["grid.pe_rows = 2.5 is not an integer"]),
    ("[grid]\nclock_hz = 'fast'", ["grid.clock_hz = 'fast' is not a number", "1000000 to 100000000000 Hz"]),
    ("[grid]\nclock_hz = nan", ["grid.clock_hz = nan is out of range"]),
    ("[grid]\npe_rows = inf", ["grid.pe_rows = inf is not an integer"]),
    ("[grid]\nclock_hz = true", ["grid.clock_hz = True is not a number"]),
    ("[grid]\nclock = 1e9", ["no chip has a field grid.clock", "clock_hz"]),
    ("[dram]\nclock_hz = 1e9", ["no chip has a field dram.clock_hz", "move it to [grid]"]),
    ("[colours]\nred = 1", ["no chip has a table [colours]", "grid"]),
    ("[grid]\nclock_hz = { value = 1e9, kind = 'guessed' }", ["kind = 'guessed'", "published, derived, assumed"]),
    ("[grid]\nclock_hz = { value = 1e9, kind = 'published' }", ["published but names no source"]),
    ("[grid]\nclock_hz = { value = 1e9, kind = 'derived', source = 'x' }", ["derived but shows no arithmetic"]),
    ("[grid]\nclock_hz = { kind = 'assumed' }", ["grid.clock_hz = None is not a number"]),
    ("[grid]\nclock_hz = { value = 1e9, unit = 'Hz' }", ["unknown key unit"]),
    ("[shared_sram]\nsram_cache_bytes = 1e12", ["sram_cache_bytes = 1000000000000 exceeds sram_bytes"]),
    ("[energy]\nstatic_watts = 700", ["static_watts = 700.0 exceeds typical_watts"]),
    ("grid = 3", ["no chip has a table [grid]"]),
    ("[grid", ["not a TOML file"]),
]


@pytest.mark.parametrize(("text", "expected"), BAD_FILES)
def test_a_bad_file_is_refused_with_field_value_range_and_file(
    text: str, expected: list[str], make_chip: MakeChip
) -> None:
    path = make_chip(f'name = "mine"\nbase = "mtia300"\n{text}\n')
    with pytest.raises(InvalidChip) as caught:
        chips.load(path)
    for part in [*expected, str(path)]:
        assert part in str(caught.value)


def test_a_missing_field_is_named_with_its_meaning_and_range(make_chip: MakeChip) -> None:
    text = chips.load("mtia300").path.read_text()
    path = make_chip(re.sub(r"(?m)^dram_bytes = .*\n", "", text))
    with pytest.raises(InvalidChip, match=r"dram\.dram_bytes is missing \(capacity\); give an integer of 1048576 to"):
        chips.load(path)


def test_what_the_host_takes_may_be_left_out(make_chip: MakeChip) -> None:
    assert chips.load("mtia300").host_dispatch_ns == 0
    assert (
        chips.load(make_chip('name = "mine"\nbase = "mtia300"\n[host]\nhost_dispatch_ns = 5e3\n')).host_dispatch_ns
        == 5e3
    )
    with pytest.raises(InvalidChip, match="host_dispatch_ns = -1 is out of range"):
        chips.load(make_chip('name = "mine"\nbase = "mtia300"\n[host]\nhost_dispatch_ns = -1\n'))


def test_unknown_names_and_bases_are_refused(make_chip: MakeChip, tmp_path: Path) -> None:
    with pytest.raises(InvalidChip, match="no chip and no file 'mtia9'; give one of mtia1, mtia2i, mtia300"):
        chips.load("mtia9")
    with pytest.raises(InvalidChip, match="no chip and no file"):
        chips.load(tmp_path / "absent.toml")
    with pytest.raises(InvalidChip, match="its own base"):
        chips.load(make_chip('name = "mine"\nbase = "mine.toml"\n'))
    with pytest.raises(InvalidChip, match="name = None is not a name"):
        chips.load(make_chip('base = "mtia300"\n'))
