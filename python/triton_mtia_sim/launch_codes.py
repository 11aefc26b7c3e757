"""How a launch packs its Python arguments, one code an argument (csrc/bindings/argument_codes.h reads them)."""

import re
from collections.abc import Iterable
from typing import Any

_CODES = {
    "i1": "1",
    "u1": "1",
    "i8": "b",
    "u8": "b",
    "i16": "h",
    "u16": "h",
    "i32": "i",
    "u32": "i",
    "i64": "l",
    "u64": "l",
    "fp16": "e",
    "f16": "e",
    "bf16": "y",
    "fp32": "f",
    "f32": "f",
    "fp64": "d",
    "f64": "d",
}
_DESCRIPTOR = re.compile(r"tensordesc<[^[]*\[([^\]]*)\]")


def launch_codes(types: Iterable[Any]) -> str:
    """Codes of a signature: "-" skips a constexpr, "P" is a pointer, "(...)" a tuple, "D2" a descriptor of rank 2."""
    return "".join(_code(item) for item in types)


def _code(item: Any) -> str:
    if isinstance(item, tuple | list):
        return f"({launch_codes(item)})"
    if item == "constexpr":
        return "-"
    if item.startswith("*"):
        return "P"
    descriptor = _DESCRIPTOR.match(item)
    if descriptor:
        return f"D{descriptor[1].count(',') + 1}"
    if item not in _CODES:
        raise TypeError(f"a kernel argument of type {item} cannot be passed; pass a number, a tensor or a descriptor")
    return _CODES[item]
