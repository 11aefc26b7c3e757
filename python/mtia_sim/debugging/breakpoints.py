"""torch.mtia_sim.breakpoint_at: stops a Triton kernel at a source line, with every tile as a numpy array."""

import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy.typing as npt

from mtia_core.errors import InvalidArgument
from mtia_sim import _C
from mtia_sim.debugging.monitors import Monitored
from mtia_sim.debugging.tiles import array, bits_array

Program = tuple[int, int, int]
Answer = Literal["run", "next", "step", "finish"]


class Stop(Mapping[str, Any]):
    """A program that stands before a line: `stop["x"]` is the kernel's variable x as a numpy array, a number of the
    kernel as a Python number.

    The mapping holds what lies in local memory and in registers now. What the compiler made part of an address, or
    overwrote because nobody needs it any more, is not there. Good for the callback's time and after.

    Attributes: `kernel`, `file`, `line`, `program` (program id), `grid`, `pe`, `instruction` and `disassembly` (about
    to run), `hit` (number of the stop in this launch).
    """

    def __init__(self, description: dict[str, Any], variables: dict[str, tuple[str, tuple[int, ...], bytes]]) -> None:
        self.kernel: str = description["kernel"]
        self.file: str = description["file"]
        self.line: int = description["line"]
        x, y, z = description["program"]
        self.program: Program = (x, y, z)
        x, y, z = description["grid"]
        self.grid: Program = (x, y, z)
        self.pe: int = description["pe"]
        self.instruction: int = description["instruction"]
        self.disassembly: str = description["disassembly"]
        self.hit: int = description["hit"]
        self._variables = variables

    def __getitem__(self, name: str) -> Any:
        dtype, shape, data = self._variable(name)
        values = array(dtype, shape, data)
        return values if shape else values.item()

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)

    @property
    def tiles(self) -> dict[str, npt.NDArray[Any]]:
        """The variables that are tiles."""
        return {name: self[name] for name, (_, shape, _) in self._variables.items() if shape}

    def dtype(self, name: str) -> str:
        """The chip's dtype of a variable: "bf16", "f32", "i64", "pointer", ..."""
        return self._variable(name)[0]

    def bits(self, name: str) -> npt.NDArray[Any]:
        """The bits of a variable's elements: unsigned integers for bfloat16 and float8."""
        return bits_array(*self._variable(name))

    def _variable(self, name: str) -> tuple[str, tuple[int, ...], bytes]:
        if name not in self._variables:
            raise KeyError(
                f"{name!r} is no variable here; there are {', '.join(self._variables)}. The compiler keeps no tile of"
                " what became part of an address or a mask, nor of what nobody needs any more"
            )
        return self._variables[name]

    @property
    def source(self) -> str:
        """The line's text, "" where the file is gone."""
        try:
            return Path(self.file).read_text().splitlines()[self.line - 1]
        except (OSError, IndexError):
            return ""

    def __repr__(self) -> str:
        place = f"{Path(self.file).name}:{self.line}"
        return f"<Stop {self.hit} of {self.kernel}, program {self.program} on PE {self.pe}, at {place}>"


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
            from mtia_sim.debugging.prompt import ask

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
