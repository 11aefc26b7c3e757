"""A program that stands before a line of its kernel, as a mapping of the kernel's variables."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from mtia_sim.debugging.tiles import array, bits_array

Program = tuple[int, int, int]


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
