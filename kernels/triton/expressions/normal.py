"""Error and normal functions, entropies, and numbers taken apart: expressions of the element-wise table."""

import triton
import triton.language as tl
from triton.language.extra import libdevice


@triton.jit
def erfcx(x):
    return libdevice.erfcx(x)


@triton.jit
def ndtri(p):
    return libdevice.normcdfinv(p)


@triton.jit
def log_ndtr(x):
    scaled = x.to(tl.float64) * 0.7071067811865476
    low = tl.log(libdevice.erfcx(-scaled) * 0.5) - scaled * scaled
    return tl.where(x < -1.0, low, libdevice.log1p(libdevice.erfc(scaled) * -0.5))


@triton.jit
def entr(x):
    return tl.where(x > 0, -x * tl.log(x), tl.where(x == 0, 0.0, tl.where(x != x, x, float("-inf"))))


@triton.jit
def xlog1py(x, y):
    return tl.where((x == 0) & (y == y), 0.0, x * libdevice.log1p(y))


@triton.jit
def angle(x):
    return tl.where(x < 0, 3.141592653589793, tl.where(x == x, 0.0, x))


@triton.jit
def nextafter(x, y):
    WORD: tl.constexpr = tl.int64 if x.dtype == tl.float64 else tl.int32 if x.dtype == tl.float32 else tl.int16
    bits = x.to(WORD, bitcast=True)
    # Numbers of one sign are in the order of their bits.
    outwards = (x < y) == (x > 0)
    stepped = tl.where(outwards, bits + 1, bits - 1)
    sign = y.to(WORD, bitcast=True) & (tl.full([], 1, WORD) << (x.dtype.primitive_bitwidth - 1))
    stepped = tl.where(x == 0, sign | 1, stepped)
    result = tl.where(x == y, y.to(WORD, bitcast=True), stepped).to(x.dtype, bitcast=True)
    return tl.where((x == x) & (y == y), result, x + y)


@triton.jit
def scaled_bits(x):
    """The bits of a float32 or float64 number, scaled into the normal ones, and by how many powers of two."""
    WIDE: tl.constexpr = x.dtype == tl.float64
    small = tl.abs(x) < (2.2250738585072014e-308 if WIDE else 1.1754943508222875e-38)
    scaled = tl.where(small, x * 18446744073709551616.0, x)
    bits = scaled.to(tl.int64 if WIDE else tl.int32, bitcast=True)
    return bits, tl.where(small, 64, 0)


@triton.jit
def frexp_mantissa(x):
    WIDE: tl.constexpr = x.dtype == tl.float64
    FRACTION: tl.constexpr = 52 if WIDE else 23
    ONES: tl.constexpr = 0x7FF if WIDE else 0xFF
    HALF: tl.constexpr = 1022 if WIDE else 126
    bits, _ = scaled_bits(x)
    exponent = tl.full([], ONES, bits.dtype) << FRACTION
    half = tl.full([], HALF, bits.dtype) << FRACTION
    fraction = ((bits & ~exponent) | half).to(x.dtype, bitcast=True)
    return tl.where((tl.abs(x) < float("inf")) & (x != 0), fraction, x)


@triton.jit
def frexp_exponent(x):
    WIDE: tl.constexpr = x.dtype == tl.float64
    bits, scale = scaled_bits(x)
    exponent = ((bits >> (52 if WIDE else 23)) & (0x7FF if WIDE else 0xFF)).to(tl.int32)
    exponent = exponent - (1022 if WIDE else 126) - scale
    return tl.where((tl.abs(x) < float("inf")) & (x != 0), exponent, 0)
