"""Reads MLIR attribute text: dictionaries, numbers, strings, arrays, dense elements."""

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

_TOKEN = re.compile(
    r'\s*(?:(?P<string>"(?:[^"\\]|\\.)*")|(?P<hex>0x[0-9A-Fa-f]+)|(?P<float>-?\d+\.\d*(?:[eE][-+]?\d+)?|-?\d+[eE][-+]?\d+)'
    r"|(?P<int>-?\d+)|(?P<word>[#!@]?[A-Za-z_][\w.$]*)|(?P<punctuation>->|[^\s]))"
)
_ESCAPE = re.compile(r"\\([0-9A-Fa-f]{2}|.)")


@dataclass(frozen=True)
class Hex:
    """A float that MLIR prints by its bits (NaN, infinity)."""

    bits: int


@dataclass(frozen=True)
class Dense:
    """Dense elements: one number for a splat, or a flat list, or the raw bytes."""

    elements: Any
    is_splat: bool


def unescape(text: str) -> str:
    """The content of a quoted MLIR string."""
    names = {"n": "\n", "t": "\t", "\\": "\\", '"': '"'}
    return _ESCAPE.sub(
        lambda m: names[m[1]] if m[1] in names else chr(int(m[1], 16)) if len(m[1]) == 2 else m[1], text[1:-1]
    )


@cache
def parse_dictionary(text: str) -> dict[str, Any]:
    """Reads `{name = value, flag}`; the caller must not change what it gets."""
    return _Reader(text).dictionary()


class _Reader:
    def __init__(self, text: str) -> None:
        self.tokens = [(match.lastgroup or "", match[match.lastgroup or 0]) for match in _TOKEN.finditer(text)]
        self.tokens.append(("end", ""))
        self.position = 0

    def peek(self) -> str:
        return self.tokens[self.position][1]

    def take(self, expected: str | None = None) -> str:
        _, text = self.tokens[self.position]
        if expected is not None and text != expected:
            raise ValueError(f"expected {expected!r}, found {text!r} in an attribute")
        self.position += 1
        return text

    def dictionary(self) -> dict[str, Any]:
        self.take("{")
        result: dict[str, Any] = {}
        while self.peek() != "}":
            name = self.take()
            name = unescape(name) if name.startswith('"') else name
            if self.peek() == "=":
                self.take()
                result[name] = self.value()
            else:
                result[name] = True
            if self.peek() == ",":
                self.take()
        self.take("}")
        return result

    def value(self) -> Any:
        kind, text = self.tokens[self.position]
        if kind == "string":
            self.position += 1
            return unescape(text)
        if kind in ("int", "float", "hex"):
            return self.number()
        if text == "[":
            return self.items("[", "]")
        if text == "{":
            return self.dictionary()
        if text == "array":
            return self.array()
        if text == "dense":
            return self.dense()
        if text in ("true", "false"):
            self.position += 1
            return text == "true"
        return self.opaque()

    def number(self) -> Any:
        value = self.scalar()
        if self.peek() == ":":
            self.take()
            self.opaque()
        return value

    def scalar(self) -> Any:
        kind, text = self.tokens[self.position]
        self.position += 1
        if kind == "hex":
            return Hex(int(text, 16))
        if kind == "float":
            return float(text)
        if text in ("true", "false"):
            return text == "true"
        return int(text)

    def items(self, opening: str, closing: str) -> list[Any]:
        self.take(opening)
        result = []
        while self.peek() != closing:
            result.append(self.value())
            if self.peek() == ",":
                self.take()
        self.take(closing)
        return result

    def array(self) -> tuple[Any, ...]:
        self.take("array")
        self.take("<")
        self.take()  # element type
        result = []
        if self.peek() == ":":
            self.take()
            while self.peek() != ">":
                result.append(self.scalar())
                if self.peek() == ",":
                    self.take()
        self.take(">")
        return tuple(result)

    def dense(self) -> Dense:
        self.take("dense")
        self.take("<")
        elements: Any = []
        splat = False
        kind, text = self.tokens[self.position]
        if text == "[":
            elements = self.flat()
        elif kind == "string":
            self.position += 1
            elements = bytes.fromhex(text[3:-1])
        elif text != ">":
            elements, splat = self.scalar(), True
        self.take(">")
        self.take(":")
        self.opaque()
        return Dense(elements, splat)

    def flat(self) -> list[Any]:
        result: list[Any] = []
        self.take("[")
        while self.peek() != "]":
            if self.peek() == "[":
                result.extend(self.flat())
            else:
                result.append(self.scalar())
            if self.peek() == ",":
                self.take()
        self.take("]")
        return result

    def opaque(self) -> str:
        """A type or another dialect's attribute, as text."""
        parts: list[str] = []
        depth = 0
        while True:
            text = self.peek()
            if self.tokens[self.position][0] == "end" or (depth == 0 and text in (",", "}", "]", ">", ")")):
                return "".join(parts)
            depth += (text in "<([{") - (text in ">)]}") if len(text) == 1 else 0
            parts.append(self.take())
