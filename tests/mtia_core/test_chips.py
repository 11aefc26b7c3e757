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

TERA = 1e12

MakeChip = Callable[[str], Path]


@pytest.fixture
def make_chip(tmp_path: Path) -> MakeChip:
    def make(text: str) -> Path:
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return path

    return make


def test_the_chips_are_there_and_mtia300_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MTIA_SIM_CHIP", raising=False)
    mtia = ["mtia1", "mtia2i", "mtia300", "mtia400", "mtia450", "mtia500"]
    gpus = ["a100", "b200", "h100", "h100_500w", "h200", "mi300x"]
    others = ["tpu_v5e", "tpu_v5p", "tpu_v6e", "trainium2"]
    assert chips.names() == [*gpus, *mtia, *others]
    assert chips.load().name == "mtia300"
    monkeypatch.setenv("MTIA_SIM_CHIP", "mtia2i")
    assert chips.load().name == "mtia2i"
    assert chips.load("mtia1").name == "mtia1"


def written(name: str) -> dict[str, Any]:
    """The entries of a chip's own file."""
    document = tomllib.loads(chips.load(name).path.read_text())
    assert document["name"] == name
    return {field: entry for table in document.values() if isinstance(table, dict) for field, entry in table.items()}


@pytest.mark.parametrize("name", chips.names())
def test_every_number_has_a_source_beside_it(name: str) -> None:
    entries = written(name)
    base = tomllib.loads(chips.load(name).path.read_text()).get("base")
    if base is None:
        required = {field.name for field in chips.fields() if field.group not in chips.OPTIONAL_GROUPS}
        assert required <= set(entries) <= {field.name for field in chips.fields()}
    for field, entry in entries.items():
        assert isinstance(entry, dict), f"{name}: {field} is a bare number"
        assert entry["kind"] in chips.KINDS
        if entry["kind"] == "assumed":
            assert entry["how"], f"{name}: {field} is assumed without a reason"
            assert "range" in entry, f"{name}: {field} is assumed without a plausible range"
        else:
            key = re.split(r"[ ,]", entry["source"])[0]
            assert key in chips.references(), f"{name}: {field} cites {key}, which is no key of chip_sources.toml"


def test_every_source_is_cited() -> None:
    text = "".join(chips.load(name).path.read_text() for name in chips.names())
    unused = {key for key in chips.references() if not re.search(rf"\b{key}\b", text)}
    # Of facts that no field holds: launches, collectives, Triton, power caps.
    assert unused <= {"KernelEvolve", "Micro26", "Blog24"}


@pytest.mark.parametrize("name", ["mtia400", "mtia450", "mtia500"])
def test_announced_chips_take_no_published_number_from_another(name: str) -> None:
    """What Meta published of mtia300 says nothing of the later chips: there it is assumed."""
    for field, source in chips.load(name).sources.items():
        if source.kind != "assumed" and field != "dram_picojoules_per_byte":
            assert source.source.split()[0] in {"HC26", "Blog26"}, f"{name}: {field} is {source.kind}, {source.source}"


@pytest.mark.parametrize("name", chips.names())
def test_ranges_hold_their_values_and_any_ends_make_a_chip(name: str, make_chip: MakeChip) -> None:
    chip = chips.load(name)
    for field in chips.fields():
        source = chip.sources[field.name]
        assert (source.range is not None) == (source.kind == "assumed"), field.full_name
        if source.range is not None:
            low, high = source.range
            assert field.minimum <= low <= chip.values[field.name] <= high <= field.maximum, field.full_name
            for end in source.range:
                other = chips.varied(chip, {field.name: end})
                assert other.values[field.name] == end or field.name in {pair[0] for pair in chips.ORDERED}
                for smaller, larger in chips.ORDERED:
                    assert other.values[smaller] <= other.values[larger]


def test_a_varied_chip_is_checked_and_keeps_pairs_in_order() -> None:
    chip = chips.load("mtia300")
    assert chips.varied(chip, {"launch_ns": 700, "pe_rows": 11.6}).values["pe_rows"] == 12
    smaller = chips.varied(chip, {"sram_bytes": 1 << 20, "tdp_watts": 500})
    assert (smaller.sram_cache_bytes, smaller.typical_watts) == (1 << 20, 500)
    with pytest.raises(InvalidChip, match=r"grid\.clock_hz = -1 is out of range"):
        chips.varied(chip, {"clock_hz": -1})


# fp16 or bf16 and the narrow peak in tera-operations (dense), DRAM in TB/s, thermal design power in W, as published.
# MTIA 1 prints tera as 1.024e12. Trainium2 is eight tensor engines of 79 and 158.
PUBLISHED = [
    ("mtia1", 51.2 * 1.024, 102.4 * 1.024, 0.176, 35),
    ("mtia2i", 177, 354, 0.2048, 85),
    ("mtia300", 560, 1120, 6.1, 912),
    ("mtia400", 3000, 6000, 9.4, 1200),
    ("mtia450", 3500, 7000, 18.4, 1400),
    ("mtia500", 5000, 10000, 27.6, 1700),
    ("a100", 312, 624, 2.039, 400),
    ("h100", 989.4, 1979, 3.35, 700),
    ("h100_500w", 780, 1560, 2.4, 500),
    ("h200", 989.4, 1979, 4.8, 700),
    ("b200", 2250, 4500, 8, 1000),
    ("mi300x", 1307.4, 2614.9, 5.3, 750),
    ("tpu_v5e", 197, 393, 0.819, None),
    ("tpu_v5p", 459, 918, 2.765, None),
    ("tpu_v6e", 918, 1836, 1.638, None),
    ("trainium2", 8 * 79, 8 * 158, 2.9, None),
]


def test_every_chip_has_published_figures() -> None:
    assert sorted(name for name, *_ in PUBLISHED) == chips.names()


@pytest.mark.parametrize(("name", "f16_peak", "narrow_peak", "dram_rate", "watts"), PUBLISHED)
def test_rates_multiply_to_the_published_peaks(
    name: str, f16_peak: float, narrow_peak: float, dram_rate: float, watts: float | None
) -> None:
    chip = chips.load(name)
    macs = chip.processing_elements * chip.clock_hz
    tolerance = 0.006 if name == "trainium2" else 0.003
    assert 2 * macs * chip.dot_f16_macs_per_cycle / TERA == pytest.approx(f16_peak, rel=tolerance)
    narrow = max(chip.dot_i8_macs_per_cycle, chip.dot_f8_macs_per_cycle)
    assert 2 * macs * narrow / TERA == pytest.approx(narrow_peak, rel=tolerance)
    assert chip.dram_bytes_per_second / TERA == pytest.approx(dram_rate)
    assert chip.tdp_watts == watts or (watts is None and chip.sources["tdp_watts"].kind == "assumed")


@pytest.mark.parametrize(("name", "peak"), [("mtia400", 12000), ("mtia450", 21000), ("mtia500", 30000), ("b200", 9000)])
def test_four_bits_have_the_published_peak(name: str, peak: float) -> None:
    chip = chips.load(name)
    macs = chip.processing_elements * chip.clock_hz
    assert 2 * macs * chip.dot_f4_macs_per_cycle / TERA == pytest.approx(peak, rel=0.003)
    assert chip.dot_mx_block_elements > 0


@pytest.mark.parametrize(("name", "rate"), [("mtia1", 0.4), ("mtia2i", 1.0), ("mtia300", 1.9)])
def test_local_memory_has_the_published_rate(name: str, rate: float) -> None:
    chip = chips.load(name)
    assert chip.local_memory_bytes_per_cycle * chip.clock_hz / TERA == pytest.approx(rate, rel=0.002)


def busy_watts(chip: chips.Chip) -> dict[str, float]:
    """The power of each part at the rate that it reaches. The engine moves 3/32 byte for each MAC (see the TOML)."""
    macs = chip.processing_elements * chip.clock_hz * chip.dot_f16_macs_per_cycle
    traffic = {
        "sram": chip.sram_bytes_per_second * chip.network_efficiency,
        "dram": chip.dram_bytes_per_second * chip.dram_efficiency,
    }
    return {
        "idle": chip.idle_watts,
        "clock": chip.clock_watts,
        "dot": macs * chip.dot_f16_picojoules_per_mac / TERA,
        "local memory": macs * 3 / 32 * chip.local_memory_picojoules_per_byte / TERA,
        "sram": traffic["sram"] * chip.sram_picojoules_per_byte / TERA,
        "dram": traffic["dram"] * chip.dram_picojoules_per_byte / TERA,
        "network": sum(traffic.values()) * chip.network_picojoules_per_byte / TERA,
    }


MTIA = ["mtia1", "mtia2i", "mtia300"]


@pytest.mark.parametrize("name", MTIA)
def test_clock_power_is_calibrated_with_typical_power(name: str) -> None:
    """Typical: idle and clock power, and half of what the parts draw at the rates that they reach."""
    chip = chips.load(name)
    watts = busy_watts(chip)
    always = watts["idle"] + watts["clock"]
    assert always + (sum(watts.values()) - always) / 2 == pytest.approx(chip.typical_watts, rel=0.005)


@pytest.mark.parametrize("name", MTIA)
def test_everything_busy_comes_to_the_thermal_design_power(name: str) -> None:
    """The independent check of the energy model: no figure was fitted to the thermal design power."""
    chip = chips.load(name)
    assert sum(busy_watts(chip).values()) == pytest.approx(chip.tdp_watts, rel=0.15)


@pytest.mark.parametrize("name", chips.names())
def test_power_is_plausible_idle_and_with_products(name: str) -> None:
    """Idle power is the lesser part; products at their peak need half of the limit at least, and more than it where a
    chip has to lower its clock."""
    chip = chips.load(name)
    watts = busy_watts(chip)
    assert chip.idle_watts < 0.35 * chip.tdp_watts
    assert 0.5 * chip.tdp_watts < watts["idle"] + watts["clock"] + watts["dot"] + watts["local memory"]
    assert chip.power_limit_watts == chip.tdp_watts
    # At its lowest clock the chip stays below its limit whatever it does.
    at_floor = chip.clock_floor ** (1 + chip.voltage_exponent)
    assert (
        watts["idle"] + at_floor * (sum(watts.values()) - watts["idle"] - watts["dram"]) + watts["dram"]
        < chip.tdp_watts
    )


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
    assert faster.sources["clock_hz"].range == (2e9 / 1.5, 2e9 * 1.5)
    assert faster.sources["sram_latency_ns"] == base.sources["sram_latency_ns"]


def test_default_ranges_stay_within_a_fields_limits_and_integers(make_chip: MakeChip) -> None:
    text = "[grid]\npe_rows = 60\npe_columns = 1\n[dram]\ndram_efficiency = 0.9\ndram_latency_ns = 0\n"
    chip = chips.load(make_chip(f'name = "mine"\nbase = "mtia2i"\n{text}'))
    ranges = [chip.sources[f].range for f in ("pe_rows", "pe_columns", "dram_efficiency", "dram_latency_ns")]
    assert ranges == [(40, 64), (1, 1), (0.9 / 1.5, 1), (0, 0)]


def test_a_range_is_read_as_its_field_is(make_chip: MakeChip) -> None:
    text = "[dram]\ndram_bytes = { value = 2e9, range = [1e9, 4e9] }\ndram_latency_ns = { value = 5, range = [5, 6] }\n"
    chip = chips.load(make_chip(f'name = "mine"\nbase = "mtia2i"\n{text}'))
    assert chip.sources["dram_bytes"].range == (10**9, 4 * 10**9)
    assert all(isinstance(end, int) for end in chip.sources["dram_bytes"].range or ())
    assert chip.sources["dram_latency_ns"].range == (5.0, 6.0)


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
    lines = dict(line.split("=") for line in (chip.serialise() + chip.serialise_cluster()).splitlines())
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
    (
        "[grid]\nclock_hz = { value = 1e9, kind = 'published', source = 'x', range = [1e9, 2e9] }",
        ["grid.clock_hz has range = [1000000000.0, 2000000000.0] but is published", "only assumed numbers"],
    ),
    (
        "[grid]\nclock_hz = { value = 1e9, range = 2e9 }",
        ["range = 2000000000.0, which is no pair", "[least, greatest]"],
    ),
    ("[grid]\nclock_hz = { value = 1e9, range = [1e9] }", ["which is no pair"]),
    ("[grid]\nclock_hz = { value = 1e9, range = [2e9, 3e9] }", ["does not hold its value 1000000000.0", "around it"]),
    ("[grid]\nclock_hz = { value = 1e9, range = [2e9, 1e8] }", ["does not hold its value"]),
    ("[grid]\npe_rows = { value = 8, range = [4, 65] }", ["an end of the range of grid.pe_rows = 65 is out of range"]),
    (
        "[grid]\npe_rows = { value = 8, range = [4.5, 9] }",
        ["an end of the range of grid.pe_rows = 4.5 is not an integer"],
    ),
    ("[grid]\nclock_hz = { value = 1e9, range = ['a', 2e9] }", ["range of grid.clock_hz = 'a' is not a number"]),
    ("[shared_sram]\nsram_cache_bytes = 1e12", ["sram_cache_bytes = 1000000000000 exceeds sram_bytes"]),
    (
        "[power]\nleakage_watts = 600",
        ["leakage_watts = 600.0 with dram_idle_watts and links_watts exceeds typical_watts"],
    ),
    ("[power]\ntypical_watts = 950", ["typical_watts = 950.0 exceeds tdp_watts"]),
    ("[power]\npower_limit_watts = 90", ["power_limit_watts = 90.0 does not exceed what the chip draws idle, 180 W"]),
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
    with pytest.raises(InvalidChip, match=r"no chip and no file 'mtia9'; give one of a100, b200, .* mtia1, mtia2i, "):
        chips.load("mtia9")
    with pytest.raises(InvalidChip, match="no chip and no file"):
        chips.load(tmp_path / "absent.toml")
    with pytest.raises(InvalidChip, match="its own base"):
        chips.load(make_chip('name = "mine"\nbase = "mine.toml"\n'))
    with pytest.raises(InvalidChip, match="name = None is not a name"):
        chips.load(make_chip('base = "mtia300"\n'))


CLUSTER = """
name = "ours"
[links]
peer_link_bytes_per_second = 100e9
[cluster]
domain_chips = 4
"""


def test_a_cluster_file_changes_the_links_of_any_chip(monkeypatch: pytest.MonkeyPatch, make_chip: MakeChip) -> None:
    monkeypatch.setenv("MTIA_SIM_CLUSTER", str(make_chip(CLUSTER)))
    for name in ("mtia300", "h100"):
        chip = chips.load(name)
        assert (chip.name, chip.domain_chips, chip.peer_link_bytes_per_second) == (name, 4, 100e9)
    monkeypatch.delenv("MTIA_SIM_CLUSTER")
    alone = chips.load("h100")
    assert (alone.domain_chips, alone.peer_link_bytes_per_second) == (8, 450e9)
    assert alone.scale_out_bytes_per_second == chip.scale_out_bytes_per_second


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[dram]\ndram_bytes = 1", "a cluster file has no dram.dram_bytes; its fields are those of"),
        ("[links]\nhost_link_latency_ns = 1", "a cluster file has no links.host_link_latency_ns"),
        ("domain_chips = 8", "a cluster file has no domain_chips"),
        ("[cluster]\nmessage_engines = -1", "cluster.message_engines = -1 is out of range"),
        ("[cluster]\nengines = 1", "no chip has a field cluster.engines"),
    ],
)
def test_a_wrong_cluster_file_is_refused(make_chip: MakeChip, text: str, problem: str) -> None:
    with pytest.raises(InvalidChip, match=re.escape(problem)):
        chips.in_cluster(chips.load("mtia300"), make_chip(text))


def test_a_cluster_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTIA_SIM_CLUSTER", "/nowhere/cluster.toml")
    with pytest.raises(InvalidChip, match=r"/nowhere/cluster.toml: cannot be read"):
        chips.load("mtia300")


def test_the_cluster_of_llama_3_has_pods() -> None:
    chip = chips.in_cluster(chips.load("h100_500w"), Path("examples/clusters/llama3_h100.toml"))
    assert (chip.domain_chips, chip.pod_chips) == (8, 3072)
    assert chip.pod_out_bytes_per_second < chip.scale_out_bytes_per_second < chip.peer_link_bytes_per_second
    assert chip.sources["pod_chips"].source in chips.references()
