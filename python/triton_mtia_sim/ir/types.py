"""The types of TTIR that a tile program can hold."""

import re
from dataclasses import dataclass
from functools import cache

from mtia_core.dtypes import DType
from triton_mtia_sim.ir.number_formats import FORMATS


@dataclass(frozen=True)
class ScalarType:
    """A number; `format` names what its bytes hold where the chip cannot compute with it (number_formats.py)."""

    dtype: DType
    format: str = ""


@dataclass(frozen=True)
class PointerType:
    """A device address; `pointee` is what lies there."""

    pointee: "Type"


@dataclass(frozen=True)
class TensorType:
    """A block of numbers or pointers."""

    shape: tuple[int, ...]
    element: "Type"


@dataclass(frozen=True)
class DescriptorType:
    """A tensor descriptor that is read and written in blocks of `block`; `unsigned` decides what min and max mean."""

    block: TensorType
    unsigned: bool = False


@dataclass(frozen=True)
class OtherType:
    """A type that this backend has no form of: kept by its text, refused where it is used."""

    text: str


Type = ScalarType | PointerType | TensorType | DescriptorType | OtherType

_SCALARS = {
    "i1": DType.I1,
    "i8": DType.I8,
    "i16": DType.I16,
    "i32": DType.I32,
    "i64": DType.I64,
    "index": DType.I64,
    "f16": DType.F16,
    "bf16": DType.BF16,
    "f32": DType.F32,
    "f64": DType.F64,
    "f8E4M3FN": DType.F8E4M3,
    "f8E5M2": DType.F8E5M2,
    # Signed and unsigned ones stand in the blocks of tensor descriptors only; signedness is an operation's.
    **{f"{sign}{dtype.bits}": dtype for sign in ("si", "ui") for dtype in (DType.I8, DType.I16, DType.I32, DType.I64)},
}
_SIGNEDNESS = re.compile(r"x[su](?=i\d)")
_SHAPE = re.compile(r"((?:\d+x)*)(.*)", re.DOTALL)


@cache
def parse_type(text: str) -> Type:
    """Reads one MLIR type."""
    if text in _SCALARS:
        return ScalarType(_SCALARS[text])
    if text in FORMATS:
        return ScalarType(DType.I8, text)
    if text.startswith("tensor<"):
        shape, element = _SHAPE.fullmatch(_inside(text)).groups()  # type: ignore[union-attr]
        return TensorType(tuple(int(size) for size in shape.split("x")[:-1]), parse_type(_without_encoding(element)))
    if text.startswith("!tt.ptr<"):
        return PointerType(parse_type(_without_encoding(_inside(text))))
    if text.startswith("!tt.tensordesc<"):
        inside = _without_encoding(_inside(text))
        block = parse_type(_SIGNEDNESS.sub("x", inside))
        if isinstance(block, TensorType):
            return DescriptorType(block, unsigned="xui" in inside)
    return OtherType(text)


@cache
def parse_function_type(text: str) -> tuple[tuple[Type, ...], tuple[Type, ...]]:
    """Reads `(a, b) -> c` or `(a) -> (b, c)`."""
    operands, _, results = text.partition(") -> ")
    if not results.startswith("("):
        results = f"({results})"
    return parse_type_list(operands[1:]), parse_type_list(results[1:-1])


def parse_type_list(text: str) -> tuple[Type, ...]:
    """Reads types between commas."""
    return tuple(parse_type(part) for part in split_top_level(text))


def split_top_level(text: str) -> list[str]:
    """Splits at the commas that no bracket encloses."""
    if not any(bracket in text for bracket in "<([{"):
        return [part.strip() for part in text.split(",")] if text.strip() else []
    parts: list[str] = []
    depth = start = 0
    for position, character in enumerate(text):
        if character in "<([{":
            depth += 1
        elif character in ">)]}":
            depth -= text[position - 1 : position + 1] != "->"
        elif character == "," and depth == 0:
            parts.append(text[start:position].strip())
            start = position + 1
    parts.append(text[start:].strip())
    return parts


def _inside(text: str) -> str:
    return text[text.index("<") + 1 : text.rindex(">")]


def _without_encoding(text: str) -> str:
    return split_top_level(text)[0]


def shape_of(type_: Type) -> tuple[int, ...]:
    """Shape of a tensor, () of anything else."""
    return type_.shape if isinstance(type_, TensorType) else ()


def element_of(type_: Type) -> Type:
    """Element of a tensor, the type itself otherwise."""
    return type_.element if isinstance(type_, TensorType) else type_


def is_pointer(type_: Type) -> bool:
    """Whether it is a pointer or a tensor of pointers."""
    return isinstance(element_of(type_), PointerType)


def element_dtype(type_: Type) -> DType | None:
    """Element type of a tensor or scalar; pointers are I64; None for what has no data."""
    element = element_of(type_)
    if isinstance(element, ScalarType):
        return element.dtype
    return DType.I64 if isinstance(element, PointerType) else None
