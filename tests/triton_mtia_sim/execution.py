"""Compiles a kernel and runs it through the reference interpreter on numpy arrays."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import reference_interpreter

from mtia_core.program import TileProgram
from triton_mtia_sim.launch import compile_launch

TRITON_TYPES = {
    "float32": "*fp32",
    "float16": "*fp16",
    "float64": "*fp64",
    "int8": "*i8",
    "int16": "*i16",
    "int32": "*i32",
    "int64": "*i64",
    "uint8": "*u8",
    "uint32": "*u32",
    "bool": "*i1",
    "uint16": "*bf16",  # bf16 as bits
}


def types(arguments: Mapping[str, Any]) -> dict[str, str]:
    """Triton types of numpy arrays and Python numbers."""
    result = {}
    for name, value in arguments.items():
        if isinstance(value, np.ndarray):
            result[name] = TRITON_TYPES[value.dtype.name]
        else:
            result[name] = "fp32" if isinstance(value, float) else "i32" if abs(value) < 2**31 else "i64"
    return result


def build(
    kernel: Any,
    arguments: Mapping[str, Any],
    constants: Mapping[str, Any],
    options: Mapping[str, Any] | None = None,
    chip: str = "mtia300",
) -> TileProgram:
    """The decoded program of a kernel specialised to arguments."""
    return TileProgram.decode(compile_launch(kernel, types(arguments), constants, options, chip).program)


def run(
    kernel: Any,
    arguments: Mapping[str, Any],
    constants: Mapping[str, Any],
    grid: Sequence[int] = (1,),
    options: Mapping[str, Any] | None = None,
    chip: str = "mtia300",
) -> dict[str, Any]:
    """Runs a kernel; returns every array as it is afterwards, by parameter name, and "printed" lines."""
    program = build(kernel, arguments, constants, options, chip)
    memory = reference_interpreter.Memory()
    addresses = {
        name: memory.put(value.tobytes()) for name, value in arguments.items() if isinstance(value, np.ndarray)
    }
    ordered = [name for name in kernel.arg_names if name in arguments]
    values = [addresses.get(name, arguments[name]) for name in ordered]
    printed = reference_interpreter.run(program, memory, values, grid)
    result: dict[str, Any] = {"printed": printed}
    for name, address in addresses.items():
        like = arguments[name]
        result[name] = np.frombuffer(memory.get(address), like.dtype).reshape(like.shape)
    return result
