"""Bytes of local memory as numpy arrays."""

import importlib
import importlib.util
from typing import Any

import numpy as np
import numpy.typing as npt

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
_ML_DTYPES = {"bf16": "bfloat16", "f8e4m3": "float8_e4m3fn", "f8e5m2": "float8_e5m2"}


def bits_array(dtype: str, shape: tuple[int, ...], data: bytes) -> npt.NDArray[Any]:
    """The elements' bits: unsigned for narrow floats, else as the dtype itself."""
    return np.frombuffer(data, _BITS.get(dtype) or _PLAIN[dtype]).reshape(shape)


def array(dtype: str, shape: tuple[int, ...], data: bytes) -> npt.NDArray[Any]:
    """The elements as numpy has them: bfloat16 and float8 by ml_dtypes where that is installed, else as float32."""
    bits = bits_array(dtype, shape, data)
    if dtype not in _BITS:
        return bits
    if importlib.util.find_spec("ml_dtypes") is not None:
        return bits.view(getattr(importlib.import_module("ml_dtypes"), _ML_DTYPES[dtype]))
    if dtype == "bf16":
        return (bits.astype(np.uint32) << 16).view(np.float32)
    return _float8(bits, 3 if dtype == "f8e4m3" else 2)


def _float8(bits: npt.NDArray[Any], mantissa: int) -> npt.NDArray[Any]:
    """Values of e4m3fn (3 bits of mantissa: no infinity) or e5m2."""
    bias = 7 if mantissa == 3 else 15
    wide = bits.astype(np.int32)
    exponent, fraction = (wide & 0x7F) >> mantissa, wide & ((1 << mantissa) - 1)
    magnitude = np.where(
        exponent == 0,
        np.ldexp(fraction.astype(np.float32), 1 - bias - mantissa),
        np.ldexp((fraction + (1 << mantissa)).astype(np.float32), exponent - bias - mantissa),
    )
    if mantissa == 3:
        magnitude = np.where((wide & 0x7F) == 0x7F, np.float32("nan"), magnitude)
    else:
        magnitude = np.where(exponent == 31, np.where(fraction == 0, np.float32("inf"), np.float32("nan")), magnitude)
    return np.where(wide & 0x80, -magnitude, magnitude).astype(np.float32)
