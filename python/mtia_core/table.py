"""Reads the tables (.def) that C++ includes and Python reads, so that there is one of a kind."""

import re
from pathlib import Path

FOLDER = Path(__file__).parent / "tables"
TEXT = r'"((?:[^"\\]|\\.)*)"'  # a field in quotes


def rows(path: Path, macro: str, fields: str) -> list[tuple[str, ...]]:
    """The fields of each row MACRO(...) of a table; `fields` is a regular expression with a group for each.

    Raises ValueError where a row of that macro reads otherwise: it would be missing without a word.
    """
    text = path.read_text()
    found = [match.groups() for match in re.finditer(rf"^{macro}\({fields}\)$", text, re.MULTILINE)]
    declared = sum(line.startswith(f"{macro}(") for line in text.splitlines())
    if declared == 0 or len(found) != declared:
        raise ValueError(f"{path}: {declared} rows start with {macro}( and {len(found)} of them can be read")
    return found
