"""Chips as data: loads a TOML file of chips/ or of the user, checks it against csrc/chip/chip_fields.def, and writes it
as the flat text that C++ (csrc/chip/chip_spec.h) reads and checks again."""

import functools
import math
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtia_core.errors import InvalidChip
from mtia_core.table import FOLDER, TEXT, rows

DEFAULT = "mtia300"
VARIABLE = "MTIA_SIM_CHIP"
CLUSTER_VARIABLE = "MTIA_SIM_CLUSTER"
KINDS = ("published", "derived", "assumed")
OPTIONAL_GROUPS = ("cluster", "host")
# What an assumed number without a range may be off by, as a factor, either way.
DEFAULT_FACTOR = 1.5
# What a cluster file may set beside the group `cluster`.
_CLUSTER_LINKS = "peer_link_bytes_per_second"
# Pairs of fields of which the first may not exceed the second.
ORDERED = (("sram_cache_bytes", "sram_bytes"), ("typical_watts", "tdp_watts"))
_KEYS = ("value", "kind", "range", "source", "how", "note")
_DIRECTORY = Path(__file__).parent / "chips"
_REFERENCES = Path(__file__).parent / "chip_sources.toml"
_FIELDS = rf"(\w+), (\w+), (integer|real), {TEXT}, ([^,]+), ([^,]+), {TEXT}"


@dataclass(frozen=True)
class Field:
    """One row of chip_fields.def."""

    group: str
    name: str
    is_integer: bool
    unit: str
    minimum: float
    maximum: float
    summary: str

    @property
    def full_name(self) -> str:
        return f"{self.group}.{self.name}"

    @property
    def remedy(self) -> str:
        unit = "" if self.unit == "1" else f" {self.unit}"
        noun = "an integer" if self.is_integer else "a number"
        return f"give {noun} of {self.minimum:.12g} to {self.maximum:.12g}{unit}"


@dataclass(frozen=True)
class Source:
    """Where a number comes from: ``kind`` is one of KINDS, ``source`` a paper's key, ``how`` arithmetic or reason.

    ``range`` holds the least and the greatest value that are plausible, for an assumed number; None for others.
    """

    kind: str
    source: str
    how: str
    range: tuple[float, float] | None = None


@dataclass(frozen=True)
class Chip:
    """A checked chip. Its fields, in the units of chip_fields.def, are attributes: ``chip.local_memory_bytes``."""

    name: str
    values: Mapping[str, int | float]
    sources: Mapping[str, Source]
    path: Path

    def __getattr__(self, name: str) -> Any:
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(f"a chip has no field {name}; csrc/chip/chip_fields.def lists all fields") from None

    def __reduce__(self) -> tuple[Any, ...]:
        return Chip, (self.name, self.values, self.sources, self.path)

    @property
    def processing_elements(self) -> int:
        return int(self.values["pe_rows"] * self.values["pe_columns"])

    @property
    def idle_watts(self) -> float:
        """What the chip draws while nothing works, W."""
        return float(self.values["leakage_watts"] + self.values["dram_idle_watts"] + self.values["links_watts"])

    def serialise(self) -> str:
        """Returns one ``name=value`` a line, the text that ChipSpec::parse reads."""
        wired = set(cluster_fields())
        lines = [f"name={self.name}"]
        lines += [f"{field.name}={self.values[field.name]!r}" for field in fields() if field not in wired]
        return "\n".join(lines) + "\n"

    def serialise_cluster(self) -> str:
        """Returns the same of cluster_fields.def, the text that network::Cluster::parse reads."""
        return "".join(f"{field.name}={self.values[field.name]!r}\n" for field in cluster_fields())


def _table(name: str, macro: str) -> tuple[Field, ...]:
    return tuple(
        Field(group, field, kind == "integer", unit, float(minimum), float(maximum), summary)
        for group, field, kind, unit, minimum, maximum, summary in rows(FOLDER / name, macro, _FIELDS)
    )


@functools.cache
def cluster_fields() -> tuple[Field, ...]:
    """Returns the rows of cluster_fields.def: of how chips are wired, what the network model alone reads."""
    return _table("cluster_fields.def", "CLUSTER_FIELD")


@functools.cache
def fields() -> tuple[Field, ...]:
    """Returns the rows of chip_fields.def in their order, and those of cluster_fields.def behind their group."""
    of_chip, of_cluster = _table("chip_fields.def", "CHIP_FIELD"), cluster_fields()
    behind = max(place for place, field in enumerate(of_chip) if field.group == of_cluster[0].group) + 1
    return (*of_chip[:behind], *of_cluster, *of_chip[behind:])


def names() -> list[str]:
    """Returns the names of the chips that come with mtia_sim."""
    return sorted(path.stem for path in _DIRECTORY.glob("*.toml"))


@functools.cache
def references() -> Mapping[str, str]:
    """Returns the full reference of each key that a number's source may begin with."""
    return {key: str(text) for key, text in tomllib.loads(_REFERENCES.read_text()).items()}


def load(chip: str | os.PathLike[str] | None = None) -> Chip:
    """Loads a chip by name or by the path of a TOML file, in the cluster of the environment's MTIA_SIM_CLUSTER, if set.

    Args:
        chip: A name (see ``names()``) or a path; None takes the environment's MTIA_SIM_CHIP, or else mtia300.

    Raises:
        InvalidChip: No such chip, or a field is missing, unknown or out of its range.
    """
    path = _find(os.fspath(chip) if chip is not None else os.environ.get(VARIABLE) or DEFAULT)
    known = _loaded.get(path)
    if known is None or any(_file_state(state[0]) != state for state in known[0]):
        files: list[_FileState] = []
        known = _loaded[path] = (files, _load(path, files))
    cluster = os.environ.get(CLUSTER_VARIABLE)
    return in_cluster(known[1], cluster) if cluster else known[1]


def in_cluster(chip: Chip, cluster: str | os.PathLike[str]) -> Chip:
    """Returns `chip` with the links of a cluster file (docs/chips.md), a TOML file with the table [cluster] of a chip
    file and peer_link_bytes_per_second of [links]; what it leaves out stays as the chip's file says.

    Raises:
        InvalidChip: No such file, or a field is unknown or out of its range.
    """
    path = Path(cluster).expanduser()
    document = _read_document(path)
    document.pop("name", None)
    if (stranger := _stranger_to_clusters(document)) is not None:
        raise InvalidChip(
            f"a cluster file has no {stranger}",
            str(path),
            f"its fields are those of [cluster], and {_CLUSTER_LINKS} of [links]; all others are a chip's ({VARIABLE})",
        )
    values, sources = dict(chip.values), dict(chip.sources)
    _read_groups(document, path, values, sources)
    return Chip(chip.name, values, sources, chip.path)


def varied(chip: Chip, changes: Mapping[str, int | float]) -> Chip:
    """Returns `chip` with other values of some fields, within their limits: a draw from the ranges of `chip.sources`.

    Integers are rounded. The first field of an ORDERED pair follows the second where that falls below it.
    """
    by_name = {field.name: field for field in fields()}
    values = dict(chip.values)
    for name, value in changes.items():
        field = by_name[name]
        values[name] = _read_number(field, round(value) if field.is_integer else value, chip.path)
    for smaller, larger in reversed(ORDERED):
        values[smaller] = min(values[smaller], values[larger])
    return Chip(chip.name, values, chip.sources, chip.path)


# Every compilation loads its chip: parsed again only when the file or one of its bases has changed.
_FileState = tuple[Path, int, int]
_loaded: dict[Path, tuple[list[_FileState], Chip]] = {}


def _file_state(path: Path) -> _FileState:
    """A file with its time of modification in ns and its size, -1 where it is gone."""
    try:
        status = path.stat()
    except OSError:
        return path, -1, -1
    return path, status.st_mtime_ns, status.st_size


def _find(wanted: str) -> Path:
    if re.fullmatch(r"\w+", wanted):
        path = _DIRECTORY / f"{wanted}.toml"
        if path.exists():
            return path
    path = Path(wanted).expanduser()
    if path.is_file():
        return path.resolve()
    raise InvalidChip(
        f"there is no chip and no file {wanted!r}", remedy=f"give one of {', '.join(names())} or a TOML file"
    )


def _load(path: Path, files: list[_FileState], derived_from: tuple[Path, ...] = ()) -> Chip:
    if path in derived_from:
        raise InvalidChip("the chip is its own base", str(path), "name another chip in base = ...")
    files.append(_file_state(path))
    document = _read_document(path)
    name = document.pop("name", None)
    if not isinstance(name, str) or not re.fullmatch(r"[\w.-]+", name):
        raise InvalidChip(f"name = {name!r} is not a name", str(path), 'write name = "..." with letters, digits, . - _')
    base = document.pop("base", None)
    values: dict[str, int | float] = {}
    sources: dict[str, Source] = {}
    if base is not None:
        if not isinstance(base, str):
            raise InvalidChip(f"base = {base!r} is not a chip", str(path), "give a name or a path")
        # A relative base is sought beside the file that names it.
        sibling = path.parent / base
        inherited = _load(sibling.resolve() if sibling.is_file() else _find(base), files, (*derived_from, path))
        values.update(inherited.values)
        sources.update(inherited.sources)
    _read_groups(document, path, values, sources)
    for field in fields():
        if field.name in values:
            continue
        if field.group in OPTIONAL_GROUPS:
            values[field.name] = 0 if field.is_integer else 0.0
            sources[field.name] = Source("assumed", "", "left out: not part of the account", (0.0, 0.0))
        else:
            raise InvalidChip(f"{field.full_name} is missing ({field.summary})", str(path), field.remedy)
    _check_together(values, path)
    return Chip(name, values, sources, path)


def _stranger_to_clusters(document: Mapping[str, Any]) -> str | None:
    """The first entry that is no field of a cluster file."""
    for group, entries in document.items():
        if not isinstance(entries, dict):
            return group
        for name in entries:
            if group != "cluster" and (group, name) != ("links", _CLUSTER_LINKS):
                return f"{group}.{name}"
    return None


def _read_document(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise InvalidChip(f"cannot be read: {error.strerror}", str(path), "give a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidChip(f"not a TOML file: {error}", str(path), "compare it with a file of mtia_core/chips") from None


def _read_groups(
    document: dict[str, Any], path: Path, values: dict[str, int | float], sources: dict[str, Source]
) -> None:
    groups: dict[str, dict[str, Field]] = {}
    for field in fields():
        groups.setdefault(field.group, {})[field.name] = field
    for group, entries in document.items():
        if group not in groups or not isinstance(entries, dict):
            raise InvalidChip(f"no chip has a table [{group}]", str(path), f"the tables are {', '.join(groups)}")
        for name, entry in entries.items():
            if name not in groups[group]:
                raise InvalidChip(f"no chip has a field {group}.{name}", str(path), _nearest(group, name, groups))
            values[name], sources[name] = _read_entry(groups[group][name], entry, path)


def _nearest(group: str, name: str, groups: dict[str, dict[str, Field]]) -> str:
    for other, named in groups.items():
        if name in named:
            return f"move it to [{other}]"
    return f"the fields of [{group}] are {', '.join(groups[group])}"


def _read_entry(field: Field, entry: Any, path: Path) -> tuple[int | float, Source]:
    """Reads ``{ value = ..., kind = ..., range = ..., source = ..., how = ... }``, or a bare number: it is assumed."""
    if not isinstance(entry, dict):
        value = _read_number(field, entry, path)
        return value, Source("assumed", "", "given without a source", _default_range(field, value))
    unknown = set(entry) - set(_KEYS)
    if unknown:
        raise InvalidChip(
            f"{field.full_name} has the unknown key {min(unknown)}", str(path), f"the keys are {', '.join(_KEYS)}"
        )
    kind = entry.get("kind", "assumed")
    source, how = entry.get("source", ""), entry.get("how", "")
    if kind not in KINDS:
        raise InvalidChip(f"{field.full_name} has kind = {kind!r}", str(path), f"give one of {', '.join(KINDS)}")
    if kind != "assumed" and not source:
        raise InvalidChip(f"{field.full_name} is {kind} but names no source", str(path), 'add source = "..."')
    if kind == "derived" and not how:
        raise InvalidChip(f"{field.full_name} is derived but shows no arithmetic", str(path), 'add how = "..."')
    value = _read_number(field, entry.get("value"), path)
    span = _read_range(field, value, kind, entry["range"], path) if "range" in entry else None
    if kind == "assumed" and span is None:
        span = _default_range(field, value)
    return value, Source(kind, source, how or entry.get("note", ""), span)


def _read_range(field: Field, value: int | float, kind: str, span: Any, path: Path) -> tuple[float, float]:
    shown = f"{field.full_name} has range = {span!r}"
    if kind != "assumed":
        raise InvalidChip(f"{shown} but is {kind}", str(path), "leave the range out: only assumed numbers have one")
    if not isinstance(span, list) or len(span) != 2:
        raise InvalidChip(f"{shown}, which is no pair", str(path), "write range = [least, greatest]")
    low, high = (_read_number(field, end, path, "an end of the range of ") for end in span)
    if not low <= value <= high:
        raise InvalidChip(
            f"{shown}, which does not hold its value {value!r}", str(path), "write range = [least, greatest] around it"
        )
    return low, high


def _default_range(field: Field, value: int | float) -> tuple[float, float]:
    low, high = value / DEFAULT_FACTOR, value * DEFAULT_FACTOR
    if field.is_integer:
        low, high = math.ceil(low), math.floor(high)
    return max(low, field.minimum), min(high, field.maximum)


def _read_number(field: Field, value: Any, path: Path, what: str = "") -> int | float:
    shown = f"{what}{field.full_name} = {value!r}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidChip(f"{shown} is not a number", str(path), field.remedy)
    if field.is_integer:
        if not math.isfinite(value) or value != int(value):
            raise InvalidChip(f"{shown} is not an integer", str(path), field.remedy)
        value = int(value)
    else:
        value = float(value)
    if not field.minimum <= value <= field.maximum:
        raise InvalidChip(f"{shown} is out of range", str(path), field.remedy)
    return value


def _check_together(values: Mapping[str, int | float], path: Path) -> None:
    """The checks of ChipSpec::validate that need two fields."""
    by_name = {field.name: field for field in fields()}
    for smaller, larger in ORDERED:
        if values[smaller] > values[larger]:
            field = by_name[smaller]
            raise InvalidChip(
                f"{field.full_name} = {values[smaller]!r} exceeds {larger} = {values[larger]!r}",
                str(path),
                field.remedy,
            )
    idle = values["leakage_watts"] + values["dram_idle_watts"] + values["links_watts"]
    if idle > values["typical_watts"]:
        raise InvalidChip(
            f"power.leakage_watts = {values['leakage_watts']!r} with dram_idle_watts and links_watts exceeds "
            f"typical_watts = {values['typical_watts']!r}",
            str(path),
            by_name["leakage_watts"].remedy,
        )
    if 0 < values["power_limit_watts"] <= idle:
        field = by_name["power_limit_watts"]
        raise InvalidChip(
            f"{field.full_name} = {values[field.name]!r} does not exceed what the chip draws idle, {idle:g} W",
            str(path),
            "give more, or 0 for no limit",
        )
