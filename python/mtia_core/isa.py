"""The tile instruction set as Python sees it: csrc/isa/instructions.def read once, so that there is one table."""

import zlib
from dataclasses import dataclass
from functools import cache

from mtia_core.table import FOLDER, TEXT, rows

_FIELDS = rf"(\w+), (\w+), (\w+), {TEXT}, {TEXT}, {TEXT}, {TEXT}"


@dataclass(frozen=True)
class Field:
    """One result, operand or attribute: its name, and whether it may be absent or repeats to the end."""

    name: str
    optional: bool
    repeats: bool


@dataclass(frozen=True)
class Instruction:
    """One row of the table; `opcode` is the row's position."""

    opcode: int
    mnemonic: str
    unit: str
    form: str
    results: tuple[Field, ...]
    operands: tuple[Field, ...]
    attributes: tuple[Field, ...]
    summary: str


def _fields(text: str) -> tuple[Field, ...]:
    names = [name for name in text.split(",") if name]
    return tuple(Field(name.rstrip("?*"), name.endswith("?"), name.endswith("*")) for name in names)


@cache
def instructions() -> tuple[Instruction, ...]:
    """Every instruction in opcode order."""
    found = rows(FOLDER / "instructions.def", "INSTRUCTION", _FIELDS)
    return tuple(
        Instruction(opcode, mnemonic, unit, form, _fields(results), _fields(operands), _fields(attributes), summary)
        for opcode, (mnemonic, unit, form, results, operands, attributes, summary) in enumerate(found)
    )


@cache
def by_mnemonic() -> dict[str, Instruction]:
    """Instructions by mnemonic."""
    return {instruction.mnemonic: instruction for instruction in instructions()}


@cache
def fingerprint() -> int:
    """CRC-32 of all mnemonics, each followed by a comma: a program says which table it was made for."""
    return zlib.crc32("".join(f"{instruction.mnemonic}," for instruction in instructions()).encode())
