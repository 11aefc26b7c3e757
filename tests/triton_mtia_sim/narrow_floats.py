"""Bits and rounding of the chip's float types, with numpy."""

from functools import cache
from typing import Any

import numpy as np

from mtia_core.dtypes import DType

Array = Any


def decode_bits(raw: Array, dtype: DType) -> Array:
    """Values of stored bits: float64 for F64, float32 for the others."""
    raw = np.asarray(raw)
    if dtype is DType.F64:
        return raw.astype(np.uint64).view(np.float64)
    if dtype is DType.F32:
        return raw.astype(np.uint32).view(np.float32)
    if dtype is DType.F16:
        return raw.astype(np.uint16).view(np.float16).astype(np.float32)
    if dtype is DType.BF16:
        return (raw.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return float8_values(dtype)[raw.astype(np.uint8)]


def encode_bits(values: Array, dtype: DType) -> Array:
    """Bits of values that the type holds exactly or that are rounded to it, nearest even."""
    values = np.asarray(values)
    if dtype is DType.F64:
        return values.astype(np.float64).view(np.uint64)
    if dtype is DType.F32:
        return values.astype(np.float32).view(np.uint32)
    if dtype is DType.F16:
        return values.astype(np.float16).view(np.uint16)
    if dtype is DType.BF16:
        bits = values.astype(np.float32).view(np.uint32)
        rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
        nan = np.isnan(values)
        return np.where(nan, (bits >> np.uint32(16)) | np.uint32(0x40), rounded).astype(np.uint16)
    return _encode_float8(values.astype(np.float32), dtype)


def round_to(values: Array, dtype: DType) -> Array:
    """Values rounded to a float type."""
    return decode_bits(encode_bits(values, dtype), dtype)


@cache
def float8_values(dtype: DType) -> Array:
    """All 256 values."""
    exponent_bits, mantissa_bits, bias = (4, 3, 7) if dtype is DType.F8E4M3 else (5, 2, 15)
    result = np.zeros(256, np.float32)
    for code in range(256):
        sign = -1.0 if code & 0x80 else 1.0
        exponent = (code >> mantissa_bits) & ((1 << exponent_bits) - 1)
        mantissa = code & ((1 << mantissa_bits) - 1)
        if dtype is DType.F8E4M3 and code & 0x7F == 0x7F:
            result[code] = np.nan
        elif dtype is DType.F8E5M2 and exponent == 31:
            result[code] = np.nan if mantissa else sign * np.inf
        elif exponent == 0:
            result[code] = sign * mantissa * 2.0 ** (1 - bias - mantissa_bits)
        else:
            result[code] = sign * (1 + mantissa / (1 << mantissa_bits)) * 2.0 ** (exponent - bias)
    return result


def _encode_float8(values: Array, dtype: DType) -> Array:
    table = float8_values(dtype)[:128]
    count = 0x7F if dtype is DType.F8E4M3 else 0x7C
    finite = table[:count].astype(np.float64)
    magnitude = np.abs(values).astype(np.float64)
    upper = np.clip(np.searchsorted(finite, magnitude), 0, count - 1)
    lower = np.maximum(upper - 1, 0)
    down, up = magnitude - finite[lower], finite[upper] - magnitude
    code = np.where((down < up) | ((down == up) & (lower % 2 == 0)), lower, upper)
    largest = finite[-1]
    if dtype is DType.F8E4M3:
        code = np.where(magnitude > largest, 0x7E, code)
    else:
        step = finite[-1] - finite[-2]
        code = np.where(magnitude >= largest + step / 2, 0x7C, np.where(magnitude > largest, count - 1, code))
    code = np.where(np.isnan(values), 0x7F, code)
    return (code | np.where(np.signbit(values), 0x80, 0)).astype(np.uint8)
