"""Rewrites a program so that its large tiles exist one strip at a time; the results keep their bits."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from triton_mtia_sim.analysis.structure import MARKERS
from triton_mtia_sim.strips.emission import Emission
from triton_mtia_sim.strips.hoisted import localise
from triton_mtia_sim.strips.roles import Cutting
from triton_mtia_sim.strips.schedule import Schedule
from triton_mtia_sim.tiles.machine import Bucket, Code, Register

_BOUNDARIES = MARKERS | {"return_"}
LEAST_ELEMENTS = 1024  # of a tile that is worth cutting


@dataclass(frozen=True)
class Strips:
    """How a program is cut: into `count` strips; with `reload`, values are loaded again rather than kept."""

    count: int
    reload: bool
    least: int = LEAST_ELEMENTS


@dataclass(frozen=True)
class Split:
    """A program in strips; `origins` says of each new tile which one it is a part of."""

    code: list[Code]
    origins: dict[Register, Register]


def split(code: list[Code], strips: Strips, home: Bucket, string: Callable[[str], int]) -> Split | None:
    """The program in strips, None where it has no tile that can be cut. `string` numbers the text of an assertion."""
    code = localise(list(_segments(code)), strips.least)
    cutting = Cutting(code, strips.count, strips.least)
    if not cutting.roots:
        return None
    definitions: dict[Register, int] = {}
    segments = list(_segments(code))
    seen: dict[Register, int] = {}
    kept: set[Register] = set()
    for number, (_, segment) in enumerate(segments):
        for _, item in segment:
            for register in (*item.results, *item.operands):
                if register is not None and seen.setdefault(register.root, number) != number:
                    kept.add(register.root)
            for result in item.results:
                if result is not None:
                    definitions[result.root] = definitions.get(result.root, 0) + 1
    emission = Emission(cutting, home, string)
    for marked, segment in segments:
        if marked or not any(cutting.plans[position] is not None for position, _ in segment):
            emission.code.extend(item for _, item in segment)
        else:
            emission.segment(Schedule(segment, cutting, definitions, kept, strips.reload))
    return Split(emission.code, emission.origins)


def _segments(code: list[Code]) -> Iterator[tuple[bool, list[tuple[int, Code]]]]:
    """Straight lines of instructions with their positions, and between them the markers, one at a time."""
    line: list[tuple[int, Code]] = []
    for position, item in enumerate(code):
        if item.mnemonic in _BOUNDARIES:
            yield False, line
            yield True, [(position, item)]
            line = []
        else:
            line.append((position, item))
    yield False, line
