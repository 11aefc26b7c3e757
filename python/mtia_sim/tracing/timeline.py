"""What both file formats are written from: tracks of slices and counters, in whole nanoseconds of chip time."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class Slice:
    """Something that a track did. `start` and `end` in nanoseconds from the timeline's origin."""

    start: int
    end: int
    name: str
    category: str
    arguments: dict[str, Any]


@dataclasses.dataclass
class Track:
    """Slices that follow each other, never overlapping."""

    name: str
    slices: list[Slice] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Counter:
    """A value over time: samples (nanoseconds, value), each valid until the next."""

    name: str
    unit: str
    samples: list[tuple[int, float]] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Group:
    """Tracks and counters that belong together: a device's streams, or a PE's units."""

    name: str
    tracks: list[Track] = dataclasses.field(default_factory=list)
    counters: list[Counter] = dataclasses.field(default_factory=list)

    def track(self, name: str) -> Track:
        """The track of a name, made when first asked for."""
        for track in self.tracks:
            if track.name == name:
                return track
        self.tracks.append(Track(name))
        return self.tracks[-1]

    def moved(self, name: str, shift: int) -> "Group":
        """A copy by another name, `shift` nanoseconds later."""
        moved = Group(name)
        for track in self.tracks:
            slices = [
                dataclasses.replace(entry, start=entry.start + shift, end=entry.end + shift) for entry in track.slices
            ]
            moved.tracks.append(Track(track.name, slices))
        for counter in self.counters:
            samples = [(time + shift, value) for time, value in counter.samples]
            moved.counters.append(Counter(counter.name, counter.unit, samples))
        return moved

    def counter(self, name: str, unit: str) -> Counter:
        """The counter of a name, made when first asked for."""
        for counter in self.counters:
            if counter.name == name:
                return counter
        self.counters.append(Counter(name, unit))
        return self.counters[-1]


@dataclasses.dataclass
class Timeline:
    """A whole trace. `facts` describe it: the chip, its clock, the chip time of the origin."""

    groups: list[Group]
    facts: dict[str, Any]
