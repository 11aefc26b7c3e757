"""Kernels in C++ against mtia/kernel.h: loaded from their source, launched like any other kernel."""

import inspect
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mtia_core import errors
from mtia_sim import _C
from mtia_sim.cpp_compiler import compile_kernel
from mtia_sim.initialisation import _lazy_init

SUFFIXES = (".cpp", ".cc", ".cxx")


class CppKernel:
    """A C++ kernel; kernel[grid](*arguments) launches it on the current stream of the current device.

    The grid is (rows, columns) of processing elements, (n,) or n for n of them, and () for the whole chip. Arguments go
    by place or by name: tensors of the dtype and number of dimensions that the kernel declares, numbers, and the
    number of items of a work queue.
    """

    def __init__(self, handle: _C.TileKernel, source: Path) -> None:
        self._handle = handle
        self.source = source
        self.name: str = handle.name
        self.roles: list[str] = handle.roles
        self.arguments: list[tuple[str, str, str, int]] = handle.arguments
        names = [inspect.Parameter(row[0], inspect.Parameter.POSITIONAL_OR_KEYWORD) for row in self.arguments]
        self.__signature__ = inspect.Signature(names)

    def __repr__(self) -> str:
        return f"<C++ kernel {self.name}({', '.join(row[0] for row in self.arguments)}) of {self.source.name}>"

    def __getitem__(self, grid: int | tuple[int, ...]) -> Callable[..., None]:
        extents = (grid,) if isinstance(grid, int) else tuple(grid)
        if len(extents) > 2 or any(extent < 1 for extent in extents):
            raise errors.InvalidArgument(
                f"a grid of {extents}", f"launch of kernel {self.name}", "use [rows, columns], [n] or [()]"
            )
        rows, columns = (*extents, 0, 0)[:2]

        def launch(*arguments: Any, **named: Any) -> None:
            if named or len(arguments) != len(self.arguments):
                try:
                    arguments = self.__signature__.bind(*arguments, **named).args
                except TypeError as error:
                    takes = ", ".join(row[0] for row in self.arguments)
                    raise errors.InvalidArgument(
                        str(error), f"launch of kernel {self.name}", f"it takes {takes or 'no arguments'}"
                    ) from None
            self._handle.launch(rows, columns, arguments)

        return launch


def load_cpp_kernel(path: str | os.PathLike[str], name: str | None, options: Sequence[str]) -> CppKernel:
    """The kernel of a C++ source; `name` chooses one of several. Raises InvalidProgram with the compiler's text."""
    source = Path(path)
    shared_object = compile_kernel(source, options)
    _lazy_init()
    kernels = {handle.name: handle for handle in _C.load_tile_kernels(str(shared_object))}
    if name is None and len(kernels) == 1:
        name = next(iter(kernels))
    if name not in kernels:
        problem = "registers no kernel" if not kernels else f"has the kernels {', '.join(kernels)}"
        remedy = "register one with MTIA_KERNEL(name, roles)" if not kernels else "choose one with name="
        raise errors.InvalidArgument(problem + (f", not {name}" if name else ""), str(source), remedy)
    return CppKernel(kernels[name], source)
