"""torch.mtia_sim.record: keeps a launch with its memory; replay() runs it again alone."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from mtia_core.errors import InvalidArgument
from mtia_sim import _C
from mtia_sim.debugging import recording_file
from mtia_sim.debugging.monitors import Monitored
from mtia_sim.initialisation import after_first_use

VARIABLE = "MTIA_SIM_RECORD"


class Recorder(Monitored):
    """A context in which launches are taken down; see record()."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        kernel: str | None,
        number: int | None,
        most: int,
        max_bytes: int,
        device: int | None,
    ) -> None:
        super().__init__(device)
        self.path = Path(path)
        self.files: list[Path] = []
        self._kernel = kernel
        self._number = number
        self._most = most
        self._max_bytes = max_bytes

    def _make_monitor(self) -> Any:
        return _C.RecordMonitor(self._device, self._kernel, self._number, self._most, self._max_bytes, self._keep)

    def _keep(self, recording: dict[str, Any]) -> None:
        file = self.path
        if self.files:
            file = file.with_name(f"{file.stem}-{len(self.files)}{file.suffix}")
        recording_file.write(file, recording, self._device, _C.device_memory_base(self._device))
        self.files.append(file)

    @property
    def launches(self) -> int:
        """Launches looked at."""
        return 0 if self._monitor is None else int(self._monitor.launches)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, traceback)
        if error is not None and self.files:
            error.add_note(f"recorded: python -m mtia_sim replay {self.files[-1]}")
        if error is None and not self.files and (self._kernel is not None or self._number is not None):
            wanted = " ".join(
                [
                    *([f"of kernel {self._kernel}"] if self._kernel else []),
                    *([f"number {self._number}"] if self._number is not None else []),
                ]
            )
            raise InvalidArgument(
                f"none of {self.launches} launches was the one {wanted}", "record", "choose another name or number"
            )


def record(
    path: str | os.PathLike[str],
    *,
    kernel: str | None = None,
    number: int | None = None,
    most: int = 1,
    max_bytes: int = 1 << 30,
    device: int | None = None,
) -> Recorder:
    """A context manager that stores a launch with all that it needs to run again (docs/debugging.md).

    Without `kernel` and `number` the launches that fail are stored; with them also the `number`-th launch (from 0), of
    the kernel of that name where one is given, or the first `most` ones of a kernel. The first recording goes to
    `path`, the next to path-1, path-2. `max_bytes` bounds the device memory in one. Launches are waited for one by one.

    `python -m mtia_sim replay path` runs it again. MTIA_SIM_RECORD=path in the environment records the first launch
    that fails, from the first use of the device on.

    Raises InvalidArgument where a launch touches more memory than `max_bytes`, and at the end where no launch matched.
    """
    return Recorder(path, kernel, number, most, max_bytes, device)


def record_as_environment_says() -> None:
    """Called at the device's first use."""
    if path := os.environ.get(VARIABLE):
        for device in range(_C.device_count()):
            file = Path(path)
            if device:
                file = file.with_name(f"{file.stem}.device{device}{file.suffix}")
            record(file, device=device).__enter__()


after_first_use(record_as_environment_says)


@dataclass(frozen=True)
class Replay:
    """What a recorded launch did when it ran again.

    `error` is the message of its failure, "" where it succeeded, `recorded_error` that of the recording. `differences`
    counts the bytes of the memory that it touched which are not as the recorded launch left them, of
    `compared_bytes`; `first_differences` are addresses. `cycles` and `seconds` are chip time.
    """

    kernel: str
    launched_by: str
    whole: bool
    error: str
    recorded_error: str
    compared_bytes: int
    differences: int
    first_differences: tuple[int, ...]
    cycles: int
    seconds: float

    @property
    def repeats(self) -> bool:
        """Whether it failed with the same message, or left the same memory behind."""
        return self.error == self.recorded_error and (bool(self.error) or self.differences == 0)


Step = Callable[[tuple[int, int, int], int, int, str, str], None]


def replay(
    path: str | os.PathLike[str],
    *,
    program: tuple[int, int, int] | None = None,
    pe: int | None = None,
    step: Step | None = None,
) -> Replay:
    """Runs a recorded launch again, alone, in a process that has not used the device before.

    `program` runs one program of the grid, `pe` what one processing element runs. `step(program id, pe, instruction,
    line, disassembly)` is called before each instruction of a tile program. A recording of a C++ kernel of the user's
    holds machine code, which runs: replay only what you trust.

    Raises InvalidArgument for a damaged recording, and where the device was used before.
    """
    recording = recording_file.read(path)
    where = os.fspath(path)
    if _C.is_configured():
        raise InvalidArgument("this process has used the device before", where, "replay in a fresh process")
    _C.configure(recording["chip_text"], where, max(2, recording["device"] + 1))
    device = _device_at(recording["device_memory_base"], max(2, recording["device"] + 1), where)
    with tempfile.TemporaryDirectory() as folder:
        if recording["kernel_object"]:
            shared = Path(folder) / "kernel.so"
            shared.write_bytes(recording["kernel_object"])
            recording["shared_object"] = str(shared)
        result = _C.replay(device, recording, program, pe, step)
    return Replay(
        recording["kernel"],
        recording["launched_by"],
        program is None and pe is None,
        result["error"],
        recording["error"],
        result["compared_bytes"],
        result["differences"],
        tuple(result["first_differences"]),
        result["cycles"],
        result["seconds"],
    )


def _device_at(base: int, devices: int, where: str) -> int:
    """The device whose memory begins where the recording's did: addresses are part of what is replayed."""
    for device in range(devices):
        if _C.device_memory_base(device) == base:
            return device
    raise InvalidArgument(
        f"device memory begins at {_C.device_memory_base(0):#x} in this process, at {base:#x} in the recorded one",
        where,
        "record and replay under the same limits of address space, both with or both without sanitizers",
    )
