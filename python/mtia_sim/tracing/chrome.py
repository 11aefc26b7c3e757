"""Chrome's trace event format, JSON object form: complete events, counters and metadata. Perfetto reads it too.

Format: "Trace Event Format" of the Catapult project. Its `ts` and `dur` are microseconds; here of chip time, with three
digits behind the point: whole nanoseconds."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mtia_sim.tracing.timeline import Group, Slice, Timeline


def write(timeline: Timeline, path: Path) -> None:
    """Writes a timeline as JSON, one event a line."""
    with path.open("w", encoding="utf-8") as file:
        file.write('{"displayTimeUnit": "ns", "otherData": ')
        json.dump(timeline.facts, file)
        file.write(', "traceEvents": [')
        separator = "\n"
        for event in _events(timeline):
            file.write(separator)
            file.write(json.dumps(event, separators=(",", ":")))
            separator = ",\n"
        file.write("\n]}\n")


def read(path: Path) -> Timeline:
    """The timeline that was written to a file.

    Raises:
        OSError, ValueError, LookupError, TypeError: No such file, or not one of write().
    """
    contents = json.loads(path.read_text(encoding="utf-8"))
    groups: dict[int, Group] = {}
    tracks: dict[tuple[int, int], str] = {}
    for event in contents["traceEvents"]:
        match event["ph"], event["name"]:
            case "M", "process_name":
                groups[event["pid"]] = Group(event["args"]["name"])
            case "M", "thread_name":
                tracks[event["pid"], event["tid"]] = event["args"]["name"]
                groups[event["pid"]].track(event["args"]["name"])
            case "X", name:
                start = round(event["ts"] * 1000)
                entry = Slice(start, start + round(event["dur"] * 1000), name, event["cat"], event["args"])
                groups[event["pid"]].track(tracks[event["pid"], event["tid"]]).slices.append(entry)
            case "C", name:
                ((unit, value),) = event["args"].items()
                groups[event["pid"]].counter(name, unit).samples.append((round(event["ts"] * 1000), value))
    return Timeline([groups[process] for process in sorted(groups)], contents["otherData"])


def _events(timeline: Timeline) -> Iterator[dict[str, Any]]:
    for process, group in enumerate(timeline.groups, start=1):
        yield _metadata(process, 0, "process_name", "name", group.name)
        yield _metadata(process, 0, "process_sort_index", "sort_index", process)
        for thread, track in enumerate(group.tracks, start=1):
            yield _metadata(process, thread, "thread_name", "name", track.name)
            yield _metadata(process, thread, "thread_sort_index", "sort_index", thread)
            for entry in track.slices:
                yield {
                    "ph": "X",
                    "pid": process,
                    "tid": thread,
                    "ts": entry.start / 1000,
                    "dur": (entry.end - entry.start) / 1000,
                    "name": entry.name,
                    "cat": entry.category,
                    "args": entry.arguments,
                }
        for counter in group.counters:
            for time, value in counter.samples:
                yield {
                    "ph": "C",
                    "pid": process,
                    "tid": 0,
                    "ts": time / 1000,
                    "name": counter.name,
                    "args": {counter.unit: value},
                }


def _metadata(process: int, thread: int, name: str, key: str, value: str | int) -> dict[str, Any]:
    return {"ph": "M", "pid": process, "tid": thread, "ts": 0, "name": name, "args": {key: value}}
