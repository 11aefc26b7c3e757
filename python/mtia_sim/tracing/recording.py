"""Makes a timeline of what the runtime recorded (csrc/bindings/bind_trace.cpp)."""

import struct
from typing import Any

from mtia_sim.tracing.timeline import Counter, Group, Slice, Timeline, Track

# emulator::TracedInstruction: start, end, ready, program, bytes, flops, instruction, repeats, opcode, unit, queue
_INSTRUCTION = struct.Struct("<6Q2IH2B4x")
# emulator::TracedOccupancy: time, buffer, change
_OCCUPANCY = struct.Struct("<QIi")
_NO_INSTRUCTION = 0xFFFFFFFF
_SUB_CYCLES = 256  # in a cycle
_OUTGOING = 1  # the fabric interface's second queue

Recorded = dict[str, Any]


def timeline_of(recorded: Recorded) -> Timeline:
    """Tracks of streams, of the units of each traced PE, and counters.

    Args:
        recorded: What TraceRecording.stop returned.
    """
    commands = recorded["commands"]
    origin = min((command["start"] for command in commands), default=0.0)
    facts = {
        "chip": recorded["chip"],
        "clock_hz": recorded["clock_hz"],
        "time": "nanoseconds of chip time",
        "origin_seconds_of_chip_time": origin,
        "dropped_instructions": recorded["dropped_instructions"],
        "dropped_commands": recorded["dropped_commands"],
    }
    groups: list[Group] = []
    for device in sorted({command["device"] for command in commands}):
        own = [command for command in commands if command["device"] == device]
        groups.append(_device_group(device, own, origin))
        groups += _pe_groups(device, own, origin, recorded)
    return Timeline(groups, facts)


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


def _device_group(device: int, commands: list[Recorded], origin: float) -> Group:
    group = Group(f"mtia_sim:{device}")
    for stream in sorted({command["stream"] for command in commands}):
        track = group.track("default stream" if stream == 0 else f"stream {stream}")
        for command in commands:
            if command["stream"] != stream:
                continue
            start, end = _nanoseconds(command["start"] - origin), _nanoseconds(command["end"] - origin)
            track.slices.append(Slice(start, end, command["name"], command["kind"], _arguments(command)))
        track.slices.sort(key=lambda entry: (entry.start, entry.end))
    group.counters = [
        _bandwidth("DRAM bandwidth", "dram_bytes", commands, origin),
        _bandwidth("SRAM bandwidth", "sram_bytes", commands, origin),
    ]
    return group


def _arguments(command: Recorded) -> dict[str, Any]:
    arguments: dict[str, Any] = {"chip_us": (command["end"] - command["start"]) * 1e6}
    if command["kind"] == "launch":
        arguments |= {
            "grid": "x".join(map(str, command["grid"])),
            "instructions": command["instructions"],
            "flops": command["flops"],
        }
    elif command["bytes"]:
        arguments["bytes"] = command["bytes"]
    arguments |= {key: command[key] for key in ("dram_bytes", "sram_bytes", "dram_seconds", "sram_seconds", "joules")}
    if command["failed"]:
        arguments["failed"] = True
    return arguments


def _bandwidth(name: str, field: str, commands: list[Recorded], origin: float) -> Counter:
    """Bytes of each command spread over its time, added up where commands overlap, in GB/s."""
    changes: dict[int, list[tuple[int, float]]] = {}
    for number, command in enumerate(commands):
        start, end = _nanoseconds(command["start"] - origin), _nanoseconds(command["end"] - origin)
        if command[field] == 0 or end <= start:
            continue
        changes.setdefault(start, []).append((number, command[field] / (end - start)))
        changes.setdefault(end, []).append((number, 0.0))
    running: dict[int, float] = {}
    counter = Counter(name, "GB/s", [(0, 0.0)] if 0 not in changes else [])
    for time in sorted(changes):
        for number, rate in changes[time]:
            if rate == 0.0:
                running.pop(number)
            else:
                running[number] = rate
        counter.samples.append((time, sum(running.values())))
    return counter


def _pe_groups(device: int, commands: list[Recorded], origin: float, recorded: Recorded) -> list[Group]:
    groups: dict[int, Group] = {}
    scale = 1e9 / (_SUB_CYCLES * recorded["clock_hz"])
    for command in commands:
        base = (command["work_start"] - origin) * 1e9
        labels = None if command["program"] is None else recorded["programs"][command["program"]]
        for pe, instructions, occupancies, calls, buffers in command["pes"]:
            group = groups.setdefault(pe, Group(f"mtia_sim:{device} PE {pe}"))
            _add_instructions(group, command, instructions, labels or calls, base, scale, recorded)
            _add_occupancies(group, occupancies, buffers, base, scale)
    order = {name: index for index, name in enumerate(_track_names(recorded["units"]))}
    for group in groups.values():
        group.tracks.sort(key=lambda track: order[track.name])
        group.tracks = [lane for track in group.tracks for lane in _lanes(track)]
    return [groups[pe] for pe in sorted(groups)]


def _lanes(track: Track) -> list[Track]:
    """A track without overlaps, and more of them for what roles of a C++ kernel do at once on a unit."""
    lanes: list[Track] = []
    for entry in sorted(track.slices, key=lambda entry: (entry.start, entry.end)):
        for lane in lanes:
            if lane.slices[-1].end <= entry.start:
                lane.slices.append(entry)
                break
        else:
            name = track.name if not lanes else f"{track.name} ({len(lanes) + 1})"
            lanes.append(Track(name, [entry]))
    return lanes


def _add_occupancies(group: Group, packed: bytes, buffers: list[str], base: float, scale: float) -> None:
    """Full pages of each circular buffer, counted up in the order of chip time."""
    changes: dict[int, dict[int, int]] = {}
    for time, buffer, change in _OCCUPANCY.iter_unpack(packed):
        at = changes.setdefault(buffer, {})
        moment = round(base + time * scale)
        at[moment] = at.get(moment, 0) + change
    for buffer, at in sorted(changes.items()):
        counter = group.counter(buffers[buffer], "full pages")
        full = 0
        for moment in sorted(at):
            full += at[moment]
            counter.samples.append((moment, full))


def _track_name(unit: str, queue: int, is_listed: bool) -> str:
    if unit == "fabric_interface":
        return f"{unit} out" if queue == _OUTGOING else f"{unit} in"
    # Messages and checks wait for late operands beside what the scalar core goes on to do.
    return f"{unit} (late)" if unit == "scalar_core" and is_listed else unit


def _track_names(units: list[str]) -> list[str]:
    return [_track_name(unit, queue, listed) for unit in units for queue in (0, _OUTGOING) for listed in (False, True)]


def _add_instructions(
    group: Group,
    command: Recorded,
    packed: bytes,
    labels: list[tuple[str, str, str]],
    base: float,
    scale: float,
    recorded: Recorded,
) -> None:
    units, mnemonics = recorded["units"], recorded["mnemonics"]
    tracks: dict[tuple[int, int, bool], Track] = {}
    kernel = command["name"]
    for start, end, ready, program, size, flops, index, repeats, opcode, unit, queue in _INSTRUCTION.iter_unpack(
        packed
    ):
        is_listed = index != _NO_INSTRUCTION
        track = tracks.get((unit, queue, is_listed))
        if track is None:
            track = tracks[unit, queue, is_listed] = group.track(_track_name(units[unit], queue, is_listed))
        arguments: dict[str, Any] = {"kernel": kernel, "program": program, "cycles": (end - start) / _SUB_CYCLES}
        if units[unit] == "scalar_core" and not is_listed:
            name = f"{repeats} scalar"
            arguments["instructions"] = repeats
        else:
            name = mnemonics[opcode]
            if is_listed:
                name, arguments["line"], text = labels[index]
                if text:
                    arguments |= {"instruction": index, "text": text}
            arguments |= {"bytes": size, "flops": flops, "ready_after_cycles": (ready - start) / _SUB_CYCLES}
        track.slices.append(Slice(round(base + start * scale), round(base + end * scale), name, kernel, arguments))
