"""Measurements on many chips: `python -m mtia_sim.study.forked` forks a process for each, having imported everything.

Chip and mode of a process are chosen before its first use of the device, so a chip takes a process. Starting one takes
longer than a step; forked from one that is ready, it takes what compiling the chip's kernels takes.
"""

import contextlib
import itertools
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
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
_MEMORY = "/dev/shm"
_numbers = itertools.count()


class _Server:
    """A process that forks, for one measurement at a time; in a session of its own, so that Ctrl-C passes it by."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._errors = folder / f"errors{next(_numbers)}.txt"
        with self._errors.open("w") as told:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mtia_sim.study.forked"],
                env={**os.environ, **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=told,
                text=True,
                start_new_session=True,
            )

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        except (OSError, ValueError):
            last = self._errors.read_text().strip().splitlines()[-1:]
            raise RuntimeError(f"a process that measures ended: {' '.join(last)}") from None
        return answer

    def end(self) -> None:
        """Ends it and what it forked."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()


class Forked:
    """Measures chips side by side; used in a `with`.

    Args:
        workload: As `measuring.measure` takes it.
        options: Likewise.
        processes: How many at a time; None: one a processor.
    """

    def __init__(self, workload: str, options: Options, processes: int | None = None) -> None:
        self._request = {"workload": workload, "options": asdict(options)}
        cores = len(os.sched_getaffinity(0))
        self._count = processes or cores
        self._threads = str(max(1, cores // self._count))
        # Thousands of small files come and go there.
        self._folder = tempfile.TemporaryDirectory(dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None)
        self._servers: list[_Server] = []
        self._idle: queue.SimpleQueue[_Server] = queue.SimpleQueue()

    def __enter__(self) -> "Forked":
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.end()
        self._folder.cleanup()

    def _start(self, needed: int) -> None:
        folder = Path(self._folder.name)
        while len(self._servers) < min(needed, self._count):
            server = _Server(folder, {"TMPDIR": str(folder), "MTIA_SIM_THREADS": self._threads})
            self._servers.append(server)
            self._idle.put(server)

    def _one(self, chip: str) -> dict[str, Any]:
        server = self._idle.get()
        with tempfile.NamedTemporaryFile("w", suffix=".toml", dir=self._folder.name) as file:
            file.write(chip)
            file.flush()
            answer = server.ask({**self._request, "chip": file.name})
        self._idle.put(server)
        return answer

    def measure(
        self, chip_texts: Sequence[str], found: Callable[[int, dict[str, Any]], None] | None = None
    ) -> list[dict[str, Any]]:
        """Answers for chip files, in their order: a measurement, {"error": [problem, where, remedy]}, {"failed": what}.

        `found`(place, answer) is told of each as it comes.

        Raises:
            RuntimeError: A process that measures could not be started, or was killed; its last words.
        """
        self._start(len(chip_texts))
        answers: dict[int, dict[str, Any]] = {}
        with ThreadPoolExecutor(max(1, len(self._servers))) as pool:
            places = {pool.submit(self._one, text): place for place, text in enumerate(chip_texts)}
            try:
                for future in as_completed(places):
                    answers[places[future]] = future.result()
                    if found is not None:
                        found(places[future], answers[places[future]])
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for server in self._servers:
                    server.end()
                raise
        return [answers[place] for place in range(len(chip_texts))]


def _measured(request: dict[str, Any]) -> dict[str, Any]:
    """In a forked process."""
    import torch

    from mtia_sim.study.measuring import measure

    os.environ[chips.VARIABLE] = request["chip"]
    options = Options(**{**request["options"], "shape": tuple(request["options"].get("shape") or ()) or None})
    try:
        torch.mtia_sim.set_mode("timing")  # type: ignore[attr-defined]
        found = measure(request["workload"], options)
        return {key: found[key] for key in _NEEDED if key in found}
    except MtiaError as error:
        return {"error": [error.problem, error.where, error.remedy]}
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}".splitlines()[0]}


def _forked(line: str) -> str:
    """The answer of a forked process to a request; the programs that it compiles are of no use to others."""
    with tempfile.TemporaryDirectory() as programs:
        reads, writes = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reads)
            os.dup2(2, 1)  # what a workload prints is no answer
            os.environ["TRITON_CACHE_DIR"] = programs
            os.write(writes, json.dumps(_measured(json.loads(line))).encode())
            os._exit(0)
        os.close(writes)
        with os.fdopen(reads) as answer:
            text = answer.read()
        _, status = os.waitpid(child, 0)
    return text or json.dumps({"failed": f"its process ended with status {os.waitstatus_to_exitcode(status)}"})


def main() -> int:
    """Answers requests, one JSON object a line."""
    from mtia_sim.study import preloaded

    assert preloaded.MODULES
    for line in sys.stdin:
        print(_forked(line), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
