"""tl.cast from and to fp8e4b15, which TTIR has no type for: the front end keeps it as i8 and asks the backend."""

from typing import Any

from triton._C.libtriton import ir
from triton.language import core

_NUMBERS = (core.float16, core.bfloat16, core.float32, core.float64)


def convert_custom_types(value: Any, type_: Any, rounding: Any = None, _semantic: Any = None) -> Any:
    """`value` as `type_`, of which one is fp8e4b15; lowering/software_floats.py is what the symbols become.

    Raises ValueError where the other is no float type.
    """
    source, target = value.type.scalar, type_.scalar
    if source == target:
        return value
    other = target if source.is_fp8e4b15() else source
    if not other.is_floating():
        raise ValueError(f"{source} to {target}: fp8e4b15 converts to and from floats; go by way of float16")
    if other not in _NUMBERS:  # another float8
        half = _semantic.cast(value, core.float16)
        return _semantic.cast(half, target, None if rounding is None else _name(rounding))
    if source.is_fp8e4b15():
        table = {(source,): ("mtia_fp8e4b15_decoded", target)}
    else:
        table = {(source,): (f"mtia_fp8e4b15_encoded_{_name(rounding)}", target)}
    return core.extern_elementwise("", "", [value], table, is_pure=True, _semantic=_semantic)


def _name(rounding: Any) -> str:
    return "rtz" if rounding == ir.ROUNDING_MODE.RTZ else "rtne"
