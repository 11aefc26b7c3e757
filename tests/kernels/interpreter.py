"""What Triton's interpreter lacks to run our kernels on the CPU: libdevice and the chip's checks, in numpy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import triton.language as tl
from triton.language.extra import libdevice as stubs
from triton.runtime.interpreter import InterpreterBuilder

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "trunc": np.trunc,
    "rint": np.rint,
    "copysign": np.copysign,
    "pow": np.power,
    "expm1": np.expm1,
    "log10": np.log10,
    "log1p": np.log1p,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "atan2": np.arctan2,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "hypot": np.hypot,
    "erfc": np.vectorize(math.erfc),
    "lgamma": np.vectorize(lambda x: math.lgamma(x) if x > 0 else math.inf),
}


def _interpreted(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*values: tl.tensor) -> tl.tensor:
        like = max(values, key=lambda value: value.handle.data.size)
        with np.errstate(all="ignore"):
            data = function(*[value.handle.data for value in values]).astype(like.handle.data.dtype)
        return tl.tensor(type(like.handle)(data, like.handle.dtype), like.type)

    return call


class _Checked:
    """What kernels/triton/checks.py writes: refuses values outside of their bounds, and is the values."""

    def __init__(self, assembly: str, values: list[Any]) -> None:
        value, low, high = (handle.data for handle in values[:3])
        if not np.all((low <= value) & (value <= high)):
            raise IndexError(assembly)
        self.value = values[0]

    def get_result(self, index: int) -> Any:
        return self.value


@contextmanager
def libdevice() -> Iterator[None]:
    """Gives the functions of triton.language.extra.libdevice, and checks, bodies for as long as it is entered."""
    saved = {name: getattr(stubs, name) for name in _FUNCTIONS}
    refused = InterpreterBuilder.create_inline_asm
    for name, function in _FUNCTIONS.items():
        setattr(stubs, name, _interpreted(function))
    InterpreterBuilder.create_inline_asm = lambda self, assembly, constraints, values, *rest: _Checked(assembly, values)
    try:
        with np.errstate(all="ignore"):
            yield
    finally:
        InterpreterBuilder.create_inline_asm = refused
        for name, stub in saved.items():
            setattr(stubs, name, stub)
