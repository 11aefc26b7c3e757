"""Compiles launches for a chip and runs them on mtia_sim tensors, with the argument types that their plan asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from mtia_sim_kernels.launch_shape import Launch, Scalar

TRITON_TYPES = {
    torch.bool: "i1",
    torch.int8: "i8",
    torch.int16: "i16",
    torch.int32: "i32",
    torch.int64: "i64",
    torch.uint8: "u8",
    torch.float16: "fp16",
    torch.bfloat16: "bf16",
    torch.float32: "fp32",
    torch.float64: "fp64",
    torch.float8_e4m3fn: "fp8e4nv",
    torch.float8_e5m2: "fp8e5",
}
CODES = {"i32": "i", "i64": "l", "fp32": "f", "fp64": "d"}

_programs: dict[bytes, Any] = {}


def triton_type(planned: Any, value: Any) -> str:
    """The type of an argument, given what the plan says of it and its value."""
    if isinstance(value, torch.Tensor):
        return "*" + TRITON_TYPES[value.dtype]
    if isinstance(planned, Scalar):
        return planned.dtype
    if isinstance(value, int):
        return "i32" if -(2**31) <= value < 2**31 else "i64"
    return "fp32"


def run(launch: Launch, arguments: Mapping[str, Any], chip: str) -> None:
    """Runs one launch; absent tensors are None."""
    from mtia_sim import _C
    from triton_mtia_sim.launch import compile_launch

    signature = {name: triton_type(launch.arguments[name], v) for name, v in arguments.items() if v is not None}
    constants = {**launch.constexprs, **{name: None for name, value in arguments.items() if value is None}}
    compiled = compile_launch(launch.kernel, signature, constants, launch.options, chip)
    if compiled.program not in _programs:
        _programs[compiled.program] = _C.load_program(compiled.program)
    codes = "".join("P" if signature[name][0] == "*" else CODES[signature[name]] for name in compiled.arguments)
    # A chunk table holds addresses: what it leads to is not among the arguments.
    launcher = _C.make_launcher("!" + codes if "table" in signature else codes)
    stream = _C.current_stream_id(_C.current_device())
    passed = [arguments[name] for name in compiled.arguments]
    launcher(*launch.grid, stream, _programs[compiled.program], None, None, None, None, *passed)
