"""Bytes of local memory as numpy arrays."""

import importlib
import importlib.util
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

_PLAIN: dict[str, Any] = {
    "i1": np.bool_,
    "i8": np.int8,
    "i16": np.int16,
    "i32": np.int32,
    "i64": np.int64,
    "f16": np.float16,
    "f32": np.float32,
    "f64": np.float64,
    "pointer": np.uint64,
}
_BITS: dict[str, Any] = {"bf16": np.uint16, "f8e4m3": np.uint8, "f8e5m2": np.uint8}
_NARROW = {"bf16": "bfloat16", "f8e4m3": "float8_e4m3fn", "f8e5m2": "float8_e5m2"}  # as ml_dtypes and torch say


def bits_array(dtype: str, shape: tuple[int, ...], data: bytes) -> npt.NDArray[Any]:
    """The elements' bits: unsigned for narrow floats, else as the dtype itself."""
    return np.frombuffer(data, _BITS.get(dtype) or _PLAIN[dtype]).reshape(shape)


def array(dtype: str, shape: tuple[int, ...], data: bytes) -> npt.NDArray[Any]:
    """The elements as numpy has them: bfloat16 and float8 by ml_dtypes where that is installed, else as float32."""
    bits = bits_array(dtype, shape, data)
    if dtype not in _NARROW:
        return bits
    name = _NARROW[dtype]
    if importlib.util.find_spec("ml_dtypes") is not None:
        return bits.view(getattr(importlib.import_module("ml_dtypes"), name))
    values: npt.NDArray[Any] = torch.from_numpy(bits.copy()).view(getattr(torch, name)).float().numpy()
    return values
