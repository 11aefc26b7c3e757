"""The checks of checked mode: the rows of csrc/emulator/checks/checks.def."""

from dataclasses import dataclass
from functools import cache

from mtia_core.table import FOLDER, TEXT, rows

_FIELDS = rf"(\w+), (\w+), (\w+), {TEXT}, {TEXT}"


@dataclass(frozen=True)
class Check:
    """A kind of finding: its exception class, "error", "warning" or "always", what is wrong, what to do."""

    name: str
    category: str
    severity: str
    what: str
    remedy: str


@cache
def checks() -> tuple[Check, ...]:
    """All checks in the order of the table."""
    return tuple(Check(*row) for row in rows(FOLDER / "checks.def", "MTIA_CHECK", _FIELDS))
