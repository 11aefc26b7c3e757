"""Perfetto's own trace format: protobuf messages TracePacket of track events, encoded here field by field.

Field numbers are those of perfetto's protos/perfetto/trace/perfetto_trace.proto."""

import struct
from pathlib import Path
from typing import Any

from mtia_sim.tracing.timeline import Counter, Group, Slice, Timeline

# Trace
_PACKET = 1
# TracePacket
_TIMESTAMP, _SEQUENCE, _TRACK_EVENT, _INTERNED_DATA, _SEQUENCE_FLAGS, _TRACK_DESCRIPTOR = 8, 10, 11, 12, 13, 60
_STATE_CLEARED, _NEEDS_STATE = 1, 2
# InternedData: tables of strings, each {iid: 1, name: 2}
_CATEGORIES, _EVENT_NAMES, _ANNOTATION_NAMES = 1, 2, 3
# TrackDescriptor, ProcessDescriptor, CounterDescriptor
_UUID, _NAME, _PROCESS, _PARENT, _COUNTER = 1, 2, 3, 5, 8
_PID, _PROCESS_NAME = 1, 6
_UNIT_NAME = 6
# TrackEvent
_CATEGORY_IIDS, _ANNOTATIONS, _TYPE, _NAME_IID, _TRACK_UUID, _DOUBLE_VALUE = 3, 4, 9, 10, 11, 44
_BEGIN, _END, _SAMPLE = 1, 2, 4
# DebugAnnotation
_ANNOTATION_NAME_IID, _BOOL, _INTEGER, _DOUBLE, _STRING = 1, 2, 4, 5, 6


def write(timeline: Timeline, path: Path) -> None:
    """Writes a timeline as a perfetto trace."""
    writer = _Writer()
    for group in timeline.groups:
        writer.add_group(group)
    writer.add_facts(timeline.facts)
    path.write_bytes(writer.contents())


def _varint(value: int) -> bytes:
    if value < 0:
        value += 1 << 64
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", value)


def _message(field: int, body: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(body)) + body


def _text(field: int, value: str) -> bytes:
    return _message(field, value.encode())


class _Strings:
    """A table of interned strings: numbers from 1 in order of first use."""

    def __init__(self, field: int) -> None:
        self._field = field
        self._numbers: dict[str, int] = {}

    def number_of(self, text: str) -> int:
        return self._numbers.setdefault(text, len(self._numbers) + 1)

    def encoded(self) -> bytes:
        entries = self._numbers.items()
        return b"".join(_message(self._field, _number(1, number) + _text(2, text)) for text, number in entries)


class _Writer:
    _SEQUENCE_ID = 1

    def __init__(self) -> None:
        self._packets: list[bytes] = []
        self._tracks = 0
        self._groups = 0
        self._categories = _Strings(_CATEGORIES)
        self._names = _Strings(_EVENT_NAMES)
        self._annotations = _Strings(_ANNOTATION_NAMES)

    def add_group(self, group: Group) -> None:
        self._groups += 1
        process = _number(_PID, self._groups) + _text(_PROCESS_NAME, group.name)
        parent = self._add_track(_message(_PROCESS, process))
        for track in group.tracks:
            uuid = self._add_track(_text(_NAME, track.name) + _number(_PARENT, parent))
            for entry in track.slices:
                self._add_slice(uuid, entry)
        for counter in group.counters:
            self._add_counter(parent, counter)

    def add_facts(self, facts: dict[str, Any]) -> None:
        """The facts of the timeline, as an event without duration on a track of its own."""
        uuid = self._add_track(_text(_NAME, "about this trace"))
        self._add_slice(uuid, Slice(0, 0, "about this trace", "facts", facts))

    def contents(self) -> bytes:
        tables = self._categories.encoded() + self._names.encoded() + self._annotations.encoded()
        first = _number(_SEQUENCE_FLAGS, _STATE_CLEARED) + _message(_INTERNED_DATA, tables)
        return b"".join([self._packet(first), *self._packets])

    def _packet(self, body: bytes) -> bytes:
        return _message(_PACKET, body + _number(_SEQUENCE, self._SEQUENCE_ID))

    def _add_track(self, descriptor: bytes) -> int:
        self._tracks += 1
        self._packets.append(self._packet(_message(_TRACK_DESCRIPTOR, _number(_UUID, self._tracks) + descriptor)))
        return self._tracks

    def _add_event(self, time: int, event: bytes) -> None:
        flags = _number(_SEQUENCE_FLAGS, _NEEDS_STATE)
        self._packets.append(self._packet(_number(_TIMESTAMP, time) + _message(_TRACK_EVENT, event) + flags))

    def _add_slice(self, track: int, entry: Slice) -> None:
        where = _number(_TRACK_UUID, track)
        annotations = b"".join(self._annotation(name, value) for name, value in entry.arguments.items())
        named = _number(_CATEGORY_IIDS, self._categories.number_of(entry.category)) + _number(
            _NAME_IID, self._names.number_of(entry.name)
        )
        self._add_event(entry.start, _number(_TYPE, _BEGIN) + where + named + annotations)
        self._add_event(entry.end, _number(_TYPE, _END) + where)

    def _annotation(self, name: str, value: Any) -> bytes:
        body = _number(_ANNOTATION_NAME_IID, self._annotations.number_of(name))
        if isinstance(value, bool):
            body += _number(_BOOL, int(value))
        elif isinstance(value, int):
            body += _number(_INTEGER, value)
        elif isinstance(value, float):
            body += _double(_DOUBLE, value)
        else:
            body += _text(_STRING, str(value))
        return _message(_ANNOTATIONS, body)

    def _add_counter(self, parent: int, counter: Counter) -> None:
        unit = _message(_COUNTER, _text(_UNIT_NAME, counter.unit))
        uuid = self._add_track(_text(_NAME, counter.name) + _number(_PARENT, parent) + unit)
        for time, value in counter.samples:
            self._add_event(time, _number(_TYPE, _SAMPLE) + _number(_TRACK_UUID, uuid) + _double(_DOUBLE_VALUE, value))
