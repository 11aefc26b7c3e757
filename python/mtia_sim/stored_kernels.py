"""Kernels from files: C++ sources, and tile programs that were compiled elsewhere and are launched without Triton."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mtia_core import errors
from mtia_sim import _C
from mtia_sim.cpp_compiler import DEBUG_FLAGS
from mtia_sim.cpp_kernels import SUFFIXES, CppKernel, load_cpp_kernel
from mtia_sim.initialisation import _lazy_init


class StoredKernel:
    """A loaded tile program; kernel[grid](*arguments) launches it on the current stream of the current device."""

    def __init__(self, program: bytes, confined: bool) -> None:
        from triton_mtia_sim.launch_codes import launch_codes

        _lazy_init()
        self._program = _C.load_program(program)
        self.name: str = self._program.name
        self.parameters: list[tuple[str, bool, str]] = self._program.parameters
        types = [f"*{dtype}" if is_pointer else dtype for _, is_pointer, dtype in self.parameters]
        self._launch = _C.make_launcher(("" if confined else "!") + launch_codes(types))

    def disassemble(self) -> str:
        """The program as people read it."""
        return str(self._program.disassemble())

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        x, y, z = (*grid, 1, 1)[:3]

        def launch(*arguments: Any) -> None:
            stream = _C.current_stream_id(_C.current_device())
            self._launch(x, y, z, stream, self._program, None, None, None, None, *arguments)

        return launch


def load_kernel(
    program: bytes | str | os.PathLike[str],
    confined: bool = True,
    name: str | None = None,
    options: Sequence[str] = (),
    debug: bool = False,
) -> StoredKernel | CppKernel:
    """A kernel from its file: a C++ source, or a tile program compiled ahead of time (or a CompiledKernel's bytes).

    A C++ source (.cpp, .cc, .cxx) includes mtia/kernel.h; it is compiled with the host's compiler, with `options`
    behind the usual flags, and kept in the user's cache folder. `name` chooses one of several kernels of a file.
    `debug` compiles for a debugger: each line stands for itself, and all variables can be read (docs/debugging.md).
    Raises InvalidProgram with the compiler's text where it does not compile.

    A tile program takes the kernel's arguments without its constants; a tensor descriptor as Triton flattens it.
    `confined`: it may touch its tensor arguments' storages only; False for a kernel that makes pointers from integers
    or loads them. Raises InvalidProgram for anything but a whole program of this instruction set, OutOfLocalMemory for
    one of a chip with more local memory.
    """
    if not isinstance(program, bytes) and Path(program).suffix in SUFFIXES:
        return load_cpp_kernel(program, name, [*options, *(DEBUG_FLAGS if debug else ())])
    if name is not None or options or debug:
        raise errors.InvalidArgument("name, options and debug are for C++ sources", "load_kernel", "leave them out")
    return StoredKernel(program if isinstance(program, bytes) else Path(program).read_bytes(), confined)
