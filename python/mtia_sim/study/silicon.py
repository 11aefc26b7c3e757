"""A chip file's silicon: its parts, area, power at full rate and price, by the models of dies.py."""

import math
from dataclasses import dataclass

from mtia_core.chips import Chip
from mtia_core.errors import InvalidArgument
from mtia_sim.study import dies
from mtia_sim.study.dies import Parts

_MIB, _GB = 2**20, 1e9
_WAFER_RADIUS = 150.0  # mm


@dataclass(frozen=True)
class Silicon:
    """What a chip file does not say: its process, and what its DRAM is made of (stacks, or channels of LPDDR)."""

    process: str
    dram: str
    stacks: int
    units: int  # stacks or channels


def silicon_of(chip: Chip, process: str | None = None, stacks: int | None = None) -> Silicon:
    """By the table of dies.toml, or as given.

    Raises:
        InvalidArgument: The table does not know the chip, or the process.
    """
    known = dies.table()["chips"].get(chip.name, {})
    process = process or known.get("process")
    if process is None:
        raise InvalidArgument(
            f"nobody told the area model in which process {chip.name} is made",
            remedy=f"add --process {'|'.join(dies.processes())}, and --stacks for its HBM",
        )
    if process not in dies.processes():
        raise InvalidArgument(f"there is no process {process!r}", remedy=f"give one of {', '.join(dies.processes())}")
    if stacks is not None and stacks < 0:
        raise InvalidArgument(f"--stacks {stacks} is negative", remedy="give the number of stacks of HBM")
    found = int(known.get("stacks", 0)) if stacks is None else stacks
    dram = known.get("dram", "HBM3E" if found else "LPDDR5")
    return Silicon(process, dram, found, found or int(known.get("channels", 16)))


def parts_of(chip: Chip, silicon: Silicon) -> Parts:
    """What an area model counts on the chip."""
    cores = chip.processing_elements
    return Parts(
        process=silicon.process,
        shared_mebibytes=chip.sram_bytes / _MIB,
        local_mebibytes=chip.local_memory_bytes * cores / _MIB,
        macs=chip.dot_f16_macs_per_cycle * cores,
        lanes_32=chip.vector_32bit_elements_per_cycle * cores,
        lanes_64=max(chip.vector_f64_elements_per_cycle, chip.dot_f64_macs_per_cycle) * cores,
        cores=cores,
        network_bytes_per_cycle=chip.sram_bytes_per_second / chip.clock_hz,
        dram_stacks=silicon.stacks,
        link_gigabytes=(chip.host_link_bytes_per_second + chip.peer_link_bytes_per_second) / _GB,
        ddr_gigabytes=0.0 if silicon.stacks else chip.dram_bytes_per_second / _GB,
    )


def chip_area(chip: Chip, silicon: Silicon) -> float:
    """Square millimetres of the chip's dies together."""
    return dies.area(parts_of(chip, silicon))


def full_watts(chip: Chip, silicon: Silicon, square_millimetres: float) -> float:
    """Power with everything at its full rate."""
    return dies.full_power(parts_of(chip, silicon), square_millimetres, chip.clock_hz / 1e9)


def _good_dies(square_millimetres: float) -> float:
    """Good dies of a wafer."""
    cost = {name: dies.number(entry) for name, entry in dies.table()["cost"].items()}
    whole = math.pi * _WAFER_RADIUS**2 / square_millimetres
    whole -= math.pi * 2 * _WAFER_RADIUS / math.sqrt(2 * square_millimetres)
    critical = square_millimetres / 100 * (1 - cost["repairable"])
    clustering = cost["clustering"]
    return whole * (1 + cost["defects_per_square_centimetre"] * critical / clustering) ** -clustering


def dollars(chip: Chip, silicon: Silicon, square_millimetres: float) -> float:
    """What the packaged chip costs to make: dies, DRAM, package."""
    cost = {name: dies.number(entry) for name, entry in dies.table()["cost"].items()}
    wafer = dies.number(dies.table()["process"][silicon.process]["wafer_dollars"])
    count = math.ceil(square_millimetres / cost["reticle_square_millimetres"])
    made = count * wafer / _good_dies(square_millimetres / count)
    memory = chip.dram_bytes / _GB * cost[silicon.dram]
    return made + memory + cost["package_dollars"] + silicon.stacks * cost["stack_package_dollars"]
