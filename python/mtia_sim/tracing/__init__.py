"""torch.mtia_sim.trace: what the chip did, launch by launch and instruction by instruction, as a file for Perfetto or
Chrome."""

import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from torch import distributed

from mtia_core.errors import InvalidArgument
from mtia_sim import _C
from mtia_sim.devices import get_device_properties
from mtia_sim.initialisation import _lazy_init
from mtia_sim.tracing import chrome, perfetto
from mtia_sim.tracing.recording import timeline_of

PERFETTO_ENDINGS = (".pftrace", ".perfetto-trace")


def _rank_of_this_process() -> tuple[int, int]:
    """Rank and number of ranks of the job; of a process without a process group 0 and 1."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


class trace:
    """Records commands and instructions in chip time from start() to stop(), or within a ``with`` block, and writes
    them to a file.

    The file has a track a stream with its launches and copies, counters of the bandwidth of DRAM and SRAM, and for each
    traced PE a track a unit with its instructions. docs/tracing.md shows it.

    Args:
        path: Where to write: Perfetto's protobuf if it ends in .pftrace or .perfetto-trace, else Chrome's JSON.
            "{rank}" in it stands for the rank in torch.distributed's default group, 0 without one:
            ``python -m mtia_sim merge`` makes one file of those of all ranks.
        pes: PEs whose instructions are recorded, or "all". () records launches and copies only.
        kernels: Shell pattern, or several, of the names of kernels whose instructions are recorded.
        limit: Most events to record; a warning says what was left out.

    Raises:
        InvalidArgument: A PE that the chip does not have, a limit below 1, or a folder that does not exist.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        pes: Iterable[int] | Literal["all"] = (0, 1),
        kernels: str | Iterable[str] = "*",
        limit: int = 1_000_000,
    ) -> None:
        self._rank, self._ranks = _rank_of_this_process()
        self._path = Path(os.fspath(path).replace("{rank}", str(self._rank)))
        count = get_device_properties(0).multi_processor_count
        self._pes = list(range(count)) if isinstance(pes, str) and pes == "all" else [int(pe) for pe in pes]
        wrong = [pe for pe in self._pes if not 0 <= pe < count]
        if wrong:
            raise InvalidArgument(f"PE {wrong[0]} of a chip with {count}", "trace", f"choose pes from 0 to {count - 1}")
        self._kernels = [kernels] if isinstance(kernels, str) else list(kernels)
        if limit < 1:
            raise InvalidArgument(f"a limit of {limit} events", "trace", "allow at least one")
        self._limit = limit
        if not self._path.parent.is_dir():
            raise InvalidArgument(f"there is no folder {self._path.parent}", "trace", "make it, or choose another path")
        self._recording: _C.TraceRecording | None = None

    def start(self) -> None:
        """Begins to record what is submitted from now on.

        Raises:
            InvalidArgument: It has begun already.
        """
        if self._recording is not None:
            raise InvalidArgument("the trace was started already", "trace", "call stop() first")
        _lazy_init()
        self._recording = _C.TraceRecording(self._pes, self._kernels, self._limit)

    def stop(self) -> None:
        """Waits for what was submitted since start() and writes the file. A failure of that work is left for the next
        synchronising call to raise.

        Raises:
            InvalidArgument: It has not begun.
        """
        if self._recording is None:
            raise InvalidArgument("the trace was not started", "trace", "call start(), or use it in a with statement")
        recorded, self._recording = self._recording.stop(), None
        timeline = timeline_of(recorded)
        timeline.facts |= {"rank": self._rank, "ranks": self._ranks}
        writer = perfetto if self._path.name.endswith(PERFETTO_ENDINGS) else chrome
        writer.write(timeline, self._path)
        instructions, commands = recorded["dropped_instructions"], recorded["dropped_commands"]
        if instructions or commands:
            warnings.warn(
                f"the trace {self._path} lacks {instructions} instructions and {commands} launches and copies beyond "
                f"its limit of {self._limit} events; trace fewer PEs (pes=[0]) or kernels (kernels='softmax*'), or "
                "raise limit",
                stacklevel=2,
            )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
