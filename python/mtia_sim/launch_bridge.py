"""From a kernel's name, dtypes and sizes to a launch plan: what C++ asks for once for each new combination."""

from __future__ import annotations

import struct
import threading
from typing import Any, Protocol

import triton_mtia_sim
from mtia_core import chips
from mtia_sim_kernels import launch_shape
from mtia_sim_kernels.launch_shape import Argument, ChipLimits, Launch, Scalar, Tensor, WideInteger, Workspace

# ArgumentSlot::Source of csrc/torch_backend/launching/launch.h.
_TENSOR, _SCALAR, _CONSTANT, _WORKSPACE = range(4)

# mtia::DType of csrc/base/dtype.h by the names that launch plans use.
_DTYPE_NUMBERS = {"i32": 3, "i64": 4, "fp32": 7, "fp64": 8}

EncodedSlot = tuple[int, int, int, int]
EncodedLaunch = tuple[Any, tuple[int, int, int], list[EncodedSlot]]
EncodedPlan = tuple[list[EncodedLaunch], list[int]]


class Extension(Protocol):
    """What the bridge needs of mtia_sim._C."""

    def set_plan_compiler(self, function: Any) -> None: ...

    def load_program(self, program: bytes) -> Any: ...


class LaunchBridge:
    """Compiles plans; programs are shared by all plans that need the same kernel, signature and constants."""

    def __init__(self, extension: Extension) -> None:
        self._extension = extension
        self._programs: dict[Any, Any] = {}
        self._lock = threading.RLock()
        chip = chips.load()
        self._limits = ChipLimits.of(chip)

    def plan(self, kernel: str, dtypes: tuple[str, ...], sizes: tuple[int, ...], device: int) -> EncodedPlan:
        """The launches of `kernel` for these dtypes and sizes, encoded for csrc/bindings/bind_operators.cpp.

        `device` is the index of the device; all devices of a process have one chip, so plans do not depend on it.
        Raises what the launch shape or the compiler raises, with the kernel's name, dtypes and sizes in a note.
        """
        with self._lock:
            try:
                launches = launch_shape.plan(kernel, dtypes, sizes, self._limits)
                workspaces: dict[int, int] = {}
                encoded = [self._encode(launch, dtypes, workspaces) for launch in launches]
            except Exception as error:
                error.add_note(f"while planning mtia_sim kernel {kernel!r} for dtypes {dtypes} and sizes {sizes}")
                raise
            places = {index: place for place, index in enumerate(sorted(workspaces))}
            return [_placed(launch, places) for launch in encoded], [workspaces[index] for index in places]

    def _encode(self, launch: Launch, dtypes: tuple[str, ...], workspaces: dict[int, int]) -> EncodedLaunch:
        signature: dict[str, str] = {}
        slots: dict[str, EncodedSlot] = {}
        constants = dict(launch.constexprs)
        for name in launch.kernel.arg_names:
            if name in constants:
                continue
            if name not in launch.arguments:
                raise TypeError(
                    f"the launch shape of {launch.kernel.fn.__name__} gives no value for its parameter {name!r}"
                )
            argument = launch.arguments[name]
            if argument is None:
                continue  # the compiler takes a parameter that nobody passes as None
            if isinstance(argument, Tensor) and _pointees(dtypes)[argument.index] == "none":
                raise TypeError(
                    f"{launch.kernel.fn.__name__} reads or writes its operand {name!r} (tensor {argument.index}), "
                    "which the operator was not given; its launch shape is to pass None there"
                )
            signature[name], slots[name] = _slot(argument, dtypes)
            if isinstance(argument, Workspace):
                size = argument.elements * launch_shape.DTYPE_BYTES[argument.dtype]
                workspaces[argument.index] = max(workspaces.get(argument.index, 0), size)
        key = (
            launch.kernel,
            tuple(signature.items()),
            tuple(sorted(constants.items())),
            tuple(sorted(launch.options.items())),
        )
        program = self._programs.get(key)
        if program is None:
            compiled = triton_mtia_sim.compile_launch(launch.kernel, signature, constants, dict(launch.options))
            program = self._programs[key] = self._extension.load_program(compiled.program)
        return program, launch.grid, [slots[name] for name in launch.kernel.arg_names if name in slots]


def _placed(launch: EncodedLaunch, places: dict[int, int]) -> EncodedLaunch:
    """With the numbers of workspaces, of which a plan may use any, as places in the plan's list."""
    program, grid, slots = launch
    return program, grid, [(s, d, places[index] if s == _WORKSPACE else index, bits) for s, d, index, bits in slots]


def _pointees(dtypes: tuple[str, ...]) -> list[str]:
    """Of the call's tensors, "none" where it has none."""
    return [dtype for dtype in dtypes if dtype != "scalar"]


def _slot(argument: Argument, dtypes: tuple[str, ...]) -> tuple[str, EncodedSlot]:
    """A parameter's type in the signature, and where its value comes from: (source, dtype, index, bits)."""
    match argument:
        case Tensor(index):
            return f"*{_pointee(_pointees(dtypes)[index])}", (_TENSOR, 0, index, 0)
        case Scalar(index, dtype):
            return dtype, (_SCALAR, _DTYPE_NUMBERS[dtype], index, 0)
        case Workspace(index, dtype, _):
            return f"*{_pointee(dtype)}", (_WORKSPACE, 0, index, 0)
        case WideInteger(value):
            return "i64", (_CONSTANT, 0, 0, value & (2**64 - 1))
        case bool() | int():
            narrow = -(2**31) <= argument < 2**31
            return ("i32" if narrow else "i64"), (_CONSTANT, 0, 0, int(argument) & (2**64 - 1))
        case float():
            return "fp32", (_CONSTANT, 0, 0, struct.unpack("<I", struct.pack("<f", argument))[0])
        case _:
            raise TypeError(
                f"a launch plan holds Tensor, Scalar, Workspace, WideInteger, int, float or None, got {argument!r}"
            )


def _pointee(dtype: str) -> str:
    """Triton's name of an element type in a signature."""
    return {"bool": "i1", "fp8e4m3": "fp8e4nv", "fp8e5m2": "fp8e5"}.get(dtype, dtype)
