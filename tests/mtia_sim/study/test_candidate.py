"""Candidate chips: what follows from a choice, chip files of them, ranges that make sense."""

from pathlib import Path

import pytest

from mtia_core import chips
from mtia_core.errors import InvalidArgument
from mtia_sim.study.axes import default_axes, parse_axes
from mtia_sim.study.candidate import LEAST_VOLTAGE, Base, chip_text, derive, voltage_squared
from mtia_sim.study.silicon import chip_area, dollars, silicon_of


def base_of(name: str) -> Base:
    chip = chips.load(name)
    return Base(chip, silicon_of(chip))


@pytest.mark.parametrize("name", ["mtia1", "mtia2i", "mtia300", "h100"])
def test_the_choice_of_nothing_is_the_base(name: str) -> None:
    base = base_of(name)
    candidate = derive(base, {})
    assert candidate.chip.values == base.chip.values
    assert (candidate.area, candidate.dollars) == (base.area, base.dollars)


def test_a_slower_clock_takes_less_energy_down_to_the_least_voltage() -> None:
    base = base_of("mtia300")
    slow = derive(base, {"clock_hz": 1.5e9}).chip
    assert slow.dot_f16_picojoules_per_mac < base.chip.dot_f16_picojoules_per_mac
    assert slow.dram_picojoules_per_byte == base.chip.dram_picojoules_per_byte
    assert slow.sram_latency_ns > base.chip.sram_latency_ns
    assert voltage_squared(base.chip, 1e8) == LEAST_VOLTAGE**2 < voltage_squared(base.chip, 1.8e9) < 1


def test_memory_costs_energy_and_area() -> None:
    base = base_of("mtia300")
    chosen = {"sram_bytes": base.chip.sram_bytes * 2, "local_memory_bytes": base.chip.local_memory_bytes * 4}
    large = derive(base, chosen)
    assert large.chip.sram_cache_bytes == base.chip.sram_cache_bytes * 2
    assert large.chip.local_memory_picojoules_per_byte == pytest.approx(2 * base.chip.local_memory_picojoules_per_byte)
    assert large.area > base.area and large.dollars > base.dollars
    assert large.chip.network_picojoules_per_byte > base.chip.network_picojoules_per_byte


def test_dram_comes_in_stacks() -> None:
    base = base_of("mtia300")
    half = derive(base, {"dram_bytes_per_second": base.chip.dram_bytes_per_second / 2})
    assert half.silicon.stacks == 3
    assert half.chip.dram_bytes == base.chip.dram_bytes // 2
    (axis,) = parse_axes(base, ["dram_bytes_per_second=3e12:9e12"])
    assert (axis.least, axis.most) == (3, 8)


def test_engines_scale_together() -> None:
    base = base_of("mtia300")
    wide = derive(base, {"dot_f16_macs_per_cycle": 8192}).chip
    assert wide.dot_f8_macs_per_cycle == 4 * base.chip.dot_f8_macs_per_cycle
    assert wide.dot_tile_rows == 2 * base.chip.dot_tile_rows
    assert wide.local_memory_bytes_per_cycle == 2 * base.chip.local_memory_bytes_per_cycle


def test_a_chip_file_holds_all_fields_with_reasons(tmp_path: Path) -> None:
    candidate = derive(base_of("mtia300"), {"pe_rows": 10, "clock_hz": 1.23e9, "sram_bytes": 100 << 20})
    path = tmp_path / "mine.toml"
    path.write_text(chip_text(candidate, "mine"))
    chip = chips.load(path)
    assert chip.values == candidate.chip.values
    assert all(source.kind == "assumed" and source.how for source in chip.sources.values())
    assert chip.sources["pe_rows"].how == "chosen by mtia_sim design"
    assert chip.sources["launch_ns"].how == "as mtia300"


def test_larger_dies_cost_more_than_their_area() -> None:
    chip = chips.load("mtia300")
    silicon = silicon_of(chip)
    small, large, two = (dollars(chip, silicon, area) for area in (200, 400, 1600))
    assert large - small > 0 and two > large
    assert chip_area(chip, silicon) < chip_area(chip, silicon_of(chip, "N7"))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("clock=1:2", "no chip has a field clock"),
        ("clock_hz", "is no range"),
        ("clock_hz=1e9", "is no range"),
        ("clock_hz=2e9:1e9", "begins above its end"),
        ("clock_hz=fast:2e9", "'fast' is no number"),
        ("pe_rows=1:99", "leaves what pe_rows may be"),
        ("dram_bytes_per_second=1.1e12:1.9e12", "holds no multiple of"),
        ("dot_i8_macs_per_cycle=1:9", "mtia300 has no dot_i8_macs_per_cycle"),
    ],
)
def test_ranges_that_make_no_sense_are_refused(given: str, expected: str) -> None:
    with pytest.raises(InvalidArgument, match=expected):
        parse_axes(base_of("mtia300"), [given])


def test_numbers_may_have_binary_suffixes() -> None:
    (axis,) = parse_axes(base_of("mtia300"), ["local_memory_bytes=256K:1M"])
    assert (axis.low, axis.high) == (262_144, 1_048_576)


@pytest.mark.parametrize("name", ["mtia1", "mtia2i", "mtia300", "mtia400", "a100", "h100", "b200"])
def test_default_ranges_hold_the_base(name: str) -> None:
    base = base_of(name)
    for axis in default_axes(base):
        value = float(base.chip.values[axis.field])
        assert axis.low <= value <= axis.high
        assert axis.nearest(value) == pytest.approx(value, rel=0.2)


def test_a_chip_of_unknown_silicon_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="in which process tpu_v5e is made"):
        silicon_of(chips.load("tpu_v5e"))
    assert silicon_of(chips.load("tpu_v5e"), "N5", 2).stacks == 2
    with pytest.raises(InvalidArgument, match="no process 'N1'"):
        silicon_of(chips.load("mtia300"), "N1")
