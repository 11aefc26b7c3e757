"""The checks of checked mode: the rows of csrc/emulator/checks/checks.def."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_TABLE = Path(__file__).parent / "tables" / "checks.def"
_ROW = re.compile(r'^MTIA_CHECK\((\w+), (\w+), (\w+), "([^"]*)", "([^"]*)"\)$', re.MULTILINE)


@dataclass(frozen=True)
class Check:
    """A kind of finding: its exception class, "error" or "warning", what is wrong, what to do."""

    name: str
    category: str
    severity: str
    what: str
    remedy: str


@cache
def checks() -> tuple[Check, ...]:
    """All checks in the order of the table."""
    return tuple(Check(*row) for row in _ROW.findall(_TABLE.read_text()))
