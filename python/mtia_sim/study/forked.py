"""Measurements on many chips, each in a process forked from one that has imported everything and used no device.

Chip and mode of a process are chosen before its first use of the device, so a chip takes a process; a start from
nothing takes as long as compiling the chip's kernels.
"""

import os
import signal
import tempfile
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from mtia_core import chips
from mtia_core.errors import MtiaError
from mtia_sim.study.workloads import Options

_NEEDED = (
    "described",
    "unit",
    "items",
    "fits",
    "problem",
    "seconds",
    "joules",
    "peak_memory_bytes",
    "stand_in_fraction",
    "host_seconds",
)


def _measure(answers: Connection, chip: str, workload: str, options: Options, folder: str) -> None:
    """Runs in the forked process; answers a measurement, {"error": ...} or {"failed": ...}."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started it ends it
    path = Path(folder) / f"{os.getpid()}.toml"
    path.write_text(chip)
    os.environ[chips.VARIABLE] = str(path)
    os.environ["TRITON_CACHE_DIR"] = folder
    import torch

    from mtia_sim.study.measuring import measure

    try:
        torch.mtia_sim.set_mode("timing")  # type: ignore[attr-defined]
        found = measure(workload, options)
        answer: dict[str, Any] = {key: found[key] for key in _NEEDED if key in found}
    except MtiaError as error:
        answer = {"error": str(error)}
    except Exception as error:
        answer = {"failed": f"{type(error).__name__}: {error}".splitlines()[0]}
    answers.send(answer)
    answers.close()


class Forked:
    """Measures chips side by side.

    Args:
        workload: As `measuring.measure` takes it.
        options: Likewise.
        processes: How many at a time; None: one a processor.
    """

    def __init__(self, workload: str, options: Options, processes: int | None = None) -> None:
        self._workload, self._options = workload, options
        self._count = processes or len(os.sched_getaffinity(0))
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload(["mtia_sim.study.preloaded", __name__])

    def measure(
        self, chip_texts: Sequence[str], found: Callable[[int, dict[str, Any]], None] | None = None
    ) -> list[dict[str, Any]]:
        """Answers for chip files, in their order; `found`(place, answer) as each comes."""
        answers: dict[int, dict[str, Any]] = {}
        waiting = list(enumerate(chip_texts))
        running: dict[Connection, tuple[int, Any]] = {}
        with tempfile.TemporaryDirectory() as folder:
            try:
                while waiting or running:
                    while waiting and len(running) < self._count:
                        place, text = waiting.pop(0)
                        ours, theirs = self._context.Pipe(duplex=False)
                        process = self._context.Process(
                            target=_measure, args=(theirs, text, self._workload, self._options, folder)
                        )
                        process.start()
                        theirs.close()
                        running[ours] = place, process
                    for ready in wait(list(running)):
                        assert isinstance(ready, Connection)
                        place, process = running.pop(ready)
                        try:
                            answer = ready.recv()
                        except EOFError:
                            answer = {"failed": "its process ended"}
                        process.join()
                        answers[place] = answer
                        if found is not None:
                            found(place, answer)
            finally:
                for _, process in running.values():
                    process.kill()
                    process.join()
        return [answers[place] for place in range(len(chip_texts))]
