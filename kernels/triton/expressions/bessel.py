"""Bessel functions and Airy's function of the element-wise table."""

import triton
import triton.language as tl

from triton_mtia_sim import libdevice


@triton.jit
def no_number_of_infinity(x, value):
    """CPU torch's series of Bessel functions give NaN where the argument is infinite."""
    return tl.where(tl.abs(x) == float("inf"), float("nan"), value)


@triton.jit
def bessel_j0(x):
    return no_number_of_infinity(x, libdevice.j0(x))


@triton.jit
def bessel_j1(x):
    return no_number_of_infinity(x, libdevice.j1(x))


@triton.jit
def bessel_y0(x):
    return no_number_of_infinity(x, libdevice.y0(x))


@triton.jit
def bessel_y1(x):
    return no_number_of_infinity(x, libdevice.y1(x))


@triton.jit
def i0(x):
    return no_number_of_infinity(x, libdevice.cyl_bessel_i0(x))


@triton.jit
def i1(x):
    return no_number_of_infinity(x, libdevice.cyl_bessel_i1(x))


@triton.jit
def i0e(x):
    return libdevice.cyl_bessel_i0e(x)


@triton.jit
def i1e(x):
    return libdevice.cyl_bessel_i1e(x)


@triton.jit
def bessel_k0(x):
    return libdevice.cyl_bessel_k0(x)


@triton.jit
def bessel_k1(x):
    return libdevice.cyl_bessel_k1(x)


@triton.jit
def scaled_bessel_k0(x):
    return libdevice.cyl_bessel_k0e(x)


@triton.jit
def scaled_bessel_k1(x):
    return libdevice.cyl_bessel_k1e(x)


@triton.jit
def airy_ai(x):
    return libdevice.airy_ai(x)


@triton.jit
def spherical_bessel_j0(x):
    wide = x.to(tl.float64)
    result = tl.where(x == 0, 1.0, tl.sin(wide) / wide)
    return tl.where(tl.abs(x) == float("inf"), 0.0, result)
