"""Chrome's trace event format, JSON object form: complete events, counters and metadata. Perfetto reads it too.

Format: "Trace Event Format" of the Catapult project. Its `ts` and `dur` are microseconds; here of chip time, with three
digits behind the point: whole nanoseconds."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mtia_sim.tracing.timeline import Timeline


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
