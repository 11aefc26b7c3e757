"""Resolves MLIR's location aliases to the line of a kernel that a person would look at."""

import re
from functools import cached_property
from pathlib import Path

from triton_mtia_sim.ir.operations import UNKNOWN_LOCATION, SourceLocation

_FILE = re.compile(r'"((?:[^"\\]|\\.)*)":(\d+):(\d+)')
_ALIAS = re.compile(r"#loc\d*")


class LocationTable:
    """Aliases `#locN = loc(...)` of one module; resolved on demand, since most are never asked for."""

    def __init__(self, aliases: dict[str, str]) -> None:
        self.aliases = aliases
        self.known: dict[str, SourceLocation] = {}

    @cached_property
    def library(self) -> str:
        """Folder of triton's own jitted functions: a location inside it is its caller's."""
        import triton

        return str(Path(triton.__file__).parent)

    def resolve(self, text: str) -> SourceLocation:
        """The innermost call site that is not inside triton's own library."""
        if text not in self.known:
            self.known[text] = UNKNOWN_LOCATION  # guards against a cycle
            self.known[text] = self._resolve(text)
        return self.known[text]

    def _resolve(self, text: str) -> SourceLocation:
        if text in self.aliases:
            return self.resolve(self.aliases[text])
        if text.startswith("callsite("):
            callee, _, caller = text[len("callsite(") : -1].partition(" at ")
            inner = self.resolve(callee)
            if inner is UNKNOWN_LOCATION or inner.file.startswith(self.library):
                return self.resolve(caller)
            return inner
        match = _FILE.search(text)
        if match:
            return SourceLocation(match[1], int(match[2]), int(match[3]))
        for alias in _ALIAS.findall(text):  # a name or a fusion around other locations
            found = self.resolve(alias)
            if found is not UNKNOWN_LOCATION:
                return found
        return UNKNOWN_LOCATION
