"""One process for many ranks: MTIA_SIM_WORLD says how many ranks a job has, of which few exist (docs/many_chips.md)."""

import os
import re
from dataclasses import dataclass

from mtia_core.errors import InvalidArgument
from mtia_sim import _C
from mtia_sim._utils import _get_device_index

VARIABLE = "MTIA_SIM_WORLD"


@dataclass(frozen=True)
class World:
    """A job of `size` ranks, of which `processes` exist, equally far apart; this process is `rank`."""

    rank: int
    size: int
    processes: int = 1

    @property
    def process(self) -> int:
        """Which of the existing processes this is."""
        return self.rank * self.processes // self.size

    def exists(self, rank: int) -> bool:
        """Whether a process stands for that rank."""
        return (rank - self.rank) % (self.size // self.processes) == 0


_current: World | None = None
_started: tuple[int, int] | None = None  # RANK and WORLD_SIZE, as torchrun gave them


def current() -> World | None:
    """The world of the default process group, where it is one of ranks that do not exist."""
    return _current


def enter(world: World | None) -> None:
    """Makes it the current one; in the environment RANK and WORLD_SIZE then are of the world, as scripts read them."""
    global _current
    _current = world
    if world is None:
        return
    os.environ.update(RANK=str(world.rank), WORLD_SIZE=str(world.size))
    os.environ.setdefault("LOCAL_RANK", "0")
    os.environ.setdefault("LOCAL_WORLD_SIZE", "1")


def _processes() -> tuple[int, int]:
    global _started
    if _started is None:
        _started = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    return _started


def from_environment(rank: int = -1, count: int = -1) -> World | None:
    """What MTIA_SIM_WORLD asks for; None where it is not set.

    Args:
        rank: Of this process among those that exist, as init_process_group was given it; -1: torchrun's.
        count: How many exist, likewise.

    Raises:
        InvalidArgument: It is neither RANK/SIZE nor /SIZE, a number is out of range, or the device is in functional
            mode.
    """
    text = os.environ.get(VARIABLE)
    if not text:
        return None
    found = re.fullmatch(r"(\d*)/(\d+)", text)
    if found is None:
        raise InvalidArgument(
            f"{VARIABLE}={text} is neither RANK/SIZE nor /SIZE",
            remedy="give 0/16384 for rank 0 of 16,384, or /16384 for processes that torchrun spreads over them",
        )
    size = int(found[2])
    started = _processes()
    process, processes = (rank if rank >= 0 else started[0]), (count if count > 0 else started[1])
    if found[1]:
        world = World(int(found[1]), size)
        if world.rank >= size:
            raise InvalidArgument(
                f"{VARIABLE}={text}: rank {world.rank} of {size}", remedy=f"give a rank from 0 to {size - 1}"
            )
        if processes not in (1, size):
            raise InvalidArgument(
                f"{VARIABLE}={text} names one rank, and there are {processes} processes",
                remedy=f"give {VARIABLE}=/{size}, which spreads the processes over the ranks",
            )
    else:
        if size == 0 or size % processes:
            raise InvalidArgument(
                f"{VARIABLE}={text}: {size} ranks are no multiple of {processes} processes",
                remedy="start as many processes as the job has pipeline stages",
            )
        world = World(process * (size // processes), size, processes)
    if _C.mode(_get_device_index(None, optional=True)) != "timing":
        raise InvalidArgument(
            f"{VARIABLE}={text} in functional mode, which needs every rank's values",
            remedy="set MTIA_SIM_MODE=timing too, or start all ranks by torchrun",
        )
    return world
