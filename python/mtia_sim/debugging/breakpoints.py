"""torch.mtia_sim.breakpoint_at: stops a Triton kernel at a source line, with every tile as a numpy array."""

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from mtia_core.errors import InvalidArgument
from mtia_sim import _C
from mtia_sim.debugging.monitors import Monitored
from mtia_sim.debugging.prompt import ask
from mtia_sim.debugging.stop import Program, Stop

Answer = Literal["run", "next", "step", "finish"]


Callback = Callable[[Stop], Answer | None]


class Breakpoint(Monitored):
    """A context in which programs of Triton kernels stop at a line; see breakpoint_at()."""

    def __init__(
        self, file: str, line: int, program: Program | None, callback: Callback | None, device: int | None
    ) -> None:
        super().__init__(device)
        self.file = file
        self.line = line
        self._program = program
        self._callback = callback

    def _make_monitor(self) -> Any:
        return _C.BreakpointMonitor(self.file, self.line, self._program, self._stopped)

    def _stopped(self, description: dict[str, Any], variables: dict[str, Any]) -> str:
        stop = Stop(description, variables)
        if self._callback is None:
            return ask(stop)
        return self._callback(stop) or "run"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        launches = self._monitor.launches
        super().__exit__(kind, error, traceback)
        if kind is None and launches == 0:
            raise InvalidArgument(
                f"no launched kernel has an instruction of {Path(self.file).name}:{self.line}",
                "breakpoint_at",
                "choose a line that computes, loads or stores; the compiler moves or removes what only makes addresses",
            )


def breakpoint_at(
    kernel: Any,
    line: int | str,
    callback: Callback | None = None,
    *,
    program: Program | int | None = (0, 0, 0),
    device: int | None = None,
) -> Breakpoint:
    """A context manager: programs of a Triton kernel stop before they run a line of it (docs/debugging.md).

    `kernel` is a @triton.jit function or the (end of the) path of a file; `line` a line's number in the file, or, of a
    function, a piece of its text. `program` is the program id that stops, None for every one.

    At each stop `callback(stop)` gets a Stop, a mapping of the kernel's variables to numpy arrays, and may return
    "run" (to the next time the line is reached, as None), "next" (to the next line), "step" (to the next
    instruction) or "finish" (no more stops in this launch). What it raises ends the launch and is raised where the
    kernel was launched. Without a callback a prompt asks (n, s, c, p EXPRESSION, l, q; help).

    Launches are waited for one by one; the callback runs on the thread that runs the launch, while the launching one
    waits, and must not use the device.

    Raises InvalidArgument where `kernel` has no such line, and at the end where no launch could reach it.
    """
    if isinstance(program, int):
        program = (program, 0, 0)
    file, number = _place(kernel, line)
    return Breakpoint(file, number, program, callback, device)


def _place(kernel: Any, line: int | str) -> tuple[str, int]:
    if isinstance(kernel, str | os.PathLike):
        if isinstance(line, str):
            raise InvalidArgument(f"line {line!r} of a file", "breakpoint_at", "give the line's number")
        return os.fspath(kernel), line
    while not inspect.isfunction(kernel):
        if not hasattr(kernel, "fn"):
            raise InvalidArgument(f"{kernel!r} is no Triton kernel", "breakpoint_at", "pass a @triton.jit function")
        kernel = kernel.fn
    # Triton's cache knows a kernel by its text and line: the cached program may name the file in another folder.
    file = Path(inspect.getsourcefile(kernel) or "").name
    lines, first = inspect.getsourcelines(kernel)
    if isinstance(line, int):
        if not first <= line < first + len(lines):
            raise InvalidArgument(
                f"{kernel.__name__} has lines {first} to {first + len(lines) - 1}, not {line}",
                "breakpoint_at",
                "count lines from the top of the file, or give a piece of the line's text",
            )
        return file, line
    places = [first + number for number, text in enumerate(lines) if line in text]
    if len(places) != 1:
        raise InvalidArgument(
            f"{len(places)} lines of {kernel.__name__} hold {line!r}", "breakpoint_at", "give a text of one line"
        )
    return file, places[0]
