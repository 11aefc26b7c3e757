"""The tile instruction set as Python sees it: csrc/isa/instructions.def read once, so that there is one table."""

import re
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_ROW = re.compile(
    r'^INSTRUCTION\((\w+), (\w+), (\w+), "([^"]*)", "([^"]*)", "([^"]*)", "((?:[^"\\]|\\.)*)"\)', re.MULTILINE
)


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


def table_path() -> Path:
    """Where instructions.def lies: in tables/ of a wheel, under csrc/isa in a source tree."""
    here = Path(__file__).resolve().parent
    candidates = (here / "tables" / "instructions.def", here.parents[1] / "csrc" / "isa" / "instructions.def")
    for path in candidates:
        if path.exists():
            return path
    raise FileNotFoundError(
        f"the instruction table instructions.def is at neither of {', '.join(map(str, candidates))}; reinstall mtia_sim"
    )


@cache
def instructions() -> tuple[Instruction, ...]:
    """Every instruction in opcode order."""
    text = table_path().read_text()
    rows = _ROW.findall(text)
    declared = sum(line.startswith("INSTRUCTION(") for line in text.splitlines())
    if len(rows) != declared:
        raise ValueError(f"{table_path()}: {declared} rows start with INSTRUCTION( and {len(rows)} of them can be read")
    return tuple(
        Instruction(opcode, mnemonic, unit, form, _fields(results), _fields(operands), _fields(attributes), summary)
        for opcode, (mnemonic, unit, form, results, operands, attributes, summary) in enumerate(rows)
    )


@cache
def by_mnemonic() -> dict[str, Instruction]:
    """Instructions by mnemonic."""
    return {instruction.mnemonic: instruction for instruction in instructions()}


@cache
def fingerprint() -> int:
    """CRC-32 of all mnemonics, each followed by a comma: a program says which table it was made for."""
    return zlib.crc32("".join(f"{instruction.mnemonic}," for instruction in instructions()).encode())
