"""Bessel functions and Airy's function of the element-wise table that CUDA's libdevice does not have."""

import triton

from triton_mtia_sim import libdevice


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
