"""The report of one kernel: data, and the text that it prints as."""

import linecache
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtia_core.program import TileProgram
from triton_mtia_sim.ir.operations import UNKNOWN_LOCATION, SourceLocation


@dataclass(frozen=True)
class AccessReport:
    """A load, store or atomic: one DMA descriptor (`structured`), or an address for each element, and why."""

    operation: str
    location: SourceLocation
    tile: str
    structured: bool
    why: str


@dataclass(frozen=True)
class TileReport:
    """A place in local memory and the values that share it; `first` and `last` are instructions that need it."""

    names: tuple[str, ...]
    location: SourceLocation
    tile: str
    bytes: int
    buffers: int
    offset: int
    first: int
    last: int


@dataclass(frozen=True)
class LineTime:
    """Chip time of a source line on the PE that finished last.

    `busy` cycles kept its units at work; `exposed` cycles put off the end of the work and sum to the PE's time; `bytes`
    went between the PE and SRAM or DRAM.
    """

    location: SourceLocation
    runs: int
    busy: float
    exposed: float
    bytes: int


@dataclass
class KernelReport:
    """What the compiler made of a kernel. `lines` and what follows are there after a launch with times.

    `strips`: into how many strips large tiles are cut because whole ones do not fit local memory.
    """

    name: str
    chip: str
    local_memory_available: int
    accesses: tuple[AccessReport, ...]
    tiles: tuple[TileReport, ...]
    program: TileProgram
    lines: tuple[LineTime, ...] = ()
    cycles: int = 0
    pe_cycles: int = 0
    programs: int = 0
    seconds: float = 0.0
    strips: int = 1

    @property
    def local_memory_bytes(self) -> int:
        """Bytes of local memory that a program takes."""
        return self.program.local_memory_bytes

    def add_times(self, contents: dict[str, Any]) -> None:
        """Takes in what a profiled launch says (csrc/emulator/emulator.h: LaunchProfile)."""
        found: dict[SourceLocation, list[float]] = {}
        for instruction, times in zip(self.program.instructions, contents["instructions"], strict=True):
            location = self._location(instruction.location)
            line = SourceLocation(location.file, location.line, 0)
            sums = found.setdefault(line, [0, 0.0, 0.0, 0])
            sums[0] = max(sums[0], times[0])
            for place in (1, 2, 3):
                sums[place] += times[place]
        self.lines = tuple(
            LineTime(line, int(runs), busy, exposed, int(moved))
            for line, (runs, busy, exposed, moved) in sorted(found.items(), key=lambda item: -item[1][2])
            if runs
        )
        self.cycles, self.pe_cycles = contents["cycles"], contents["pe_cycles"]
        self.programs, self.seconds = contents["programs"], contents["seconds"]

    def _location(self, number: int | None) -> SourceLocation:
        if number is None:
            return UNKNOWN_LOCATION
        location = self.program.locations[number]
        return SourceLocation(location.file, location.line, location.column)

    def _source(self, location: SourceLocation) -> str:
        return linecache.getline(location.file, location.line).strip() if location.line else ""

    # ---- text
    def __str__(self) -> str:
        return self.text()

    def text(self, disassembly: bool = True) -> str:
        """The whole report; without the disassembly where that is not wanted."""
        parts = [f"kernel {self.name} on {self.chip}", *self._access_text(), *self._tile_text()]
        if self.lines:
            parts.extend(self._time_text())
        if disassembly:
            parts.extend(self._disassembly_text())
        return "\n".join(parts) + "\n"

    def _access_text(self) -> list[str]:
        structured = sum(item.structured for item in self.accesses)
        result = [f"\naccesses: {structured} structured, {len(self.accesses) - structured} indexed"]
        for item in self.accesses:
            way = "structured" if item.structured else "indexed"
            result.append(f"  {item.location}: {item.operation} of {item.tile}, {way}: {item.why}")
            source = self._source(item.location)
            if source:
                result.append(f"      {source}")
        return result

    def _tile_text(self) -> list[str]:
        used, available = self.local_memory_bytes, self.local_memory_available
        strips = f"; whole tiles do not fit: large ones run in {self.strips} strips" if self.strips > 1 else ""
        result = [f"\nlocal memory: {used} of {available} bytes a PE ({used / available:.1%}){strips}"]
        rows: list[tuple[str, ...]] = [("bytes", "at", "instructions", "tile", "values")]
        for item in self.tiles:
            size = f"{item.bytes} x {item.buffers}" if item.buffers > 1 else str(item.bytes)
            names = f"{', '.join(item.names)} ({item.location})" if item.location.line else ", ".join(item.names)
            rows.append((size, str(item.offset), f"{item.first}-{item.last}", item.tile, names))
        return result + _table(rows) if self.tiles else result

    def _time_text(self) -> list[str]:
        result = [
            f"\nchip time: {self.cycles} cycles, {self.seconds * 1e6:.2f} us of which the PE that finished last worked"
            f" {self.pe_cycles} cycles on {self.programs} program{'s' if self.programs != 1 else ''}, line by line:"
        ]
        rows: list[tuple[str, ...]] = [("exposed", "share", "busy", "runs", "bytes", "line")]
        total = max(self.pe_cycles, 1)
        for item in self.lines:
            where = f"{item.location}  {self._source(item.location)}" if item.location.line else "(no line)"
            share = f"{item.exposed / total:.1%}"
            rows.append((f"{item.exposed:.0f}", share, f"{item.busy:.0f}", str(item.runs), str(item.bytes), where))
        return result + _table(rows)

    def _disassembly_text(self) -> list[str]:
        lines = self.program.disassemble().splitlines()
        head = len(lines) - len(self.program.instructions)
        result = ["\ninstructions:", *lines[1:head]]
        last = UNKNOWN_LOCATION
        for number, (instruction, text) in enumerate(zip(self.program.instructions, lines[head:], strict=True)):
            location = self._location(instruction.location)
            if location.line and (location.file, location.line) != (last.file, last.line):
                last = location
                result.append(f"  ; {Path(location.file).name}:{location.line}  {self._source(location)}".rstrip())
            result.append(f"{number:5d} {text}")
        return result


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    """Columns side by side: numbers to the right, the last one as it is."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return [
        "  " + "  ".join([*(cell.rjust(width) for cell, width in zip(row[:-1], widths, strict=True)), row[-1]])
        for row in rows
    ]
