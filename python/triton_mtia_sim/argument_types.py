"""Tensor types that Triton's front end does not know: kernels take them for the bytes that tl.dot_scaled asks for."""

from triton import _utils

# Scales of OCP MX, and two four-bit floats a byte.
_BYTES = ("float8_e8m0fnu", "float4_e2m1fn_x2")


def accept() -> None:
    """Lets tensors of these types be arguments of a kernel, where this version of Triton refuses them."""
    for name in _BYTES:
        _utils.type_canonicalisation_dict.setdefault(name, _utils.type_canonicalisation_dict["uint8"])
