"""Files that a cached program names, where it was compiled in another place.

Triton's cache key covers a kernel's source, not its path, so that the cache serves a copy of a checkout, or one that
was moved, with programs that name the files of the first: lines of a file that is gone, or another's.
"""

import os
from collections.abc import Iterable
from typing import Any

from mtia_core.errors import InvalidProgram
from mtia_core.program import Location, TileProgram


def source_of(compiled_from: Any) -> str | None:
    """The file of the kernel that a CompiledKernel's `src` is, as Python knows it; None where it was given as IR."""
    code = getattr(getattr(getattr(compiled_from, "fn", None), "fn", None), "__code__", None)
    return None if code is None else str(code.co_filename)


def moved_folder(files: Iterable[str], source: str) -> tuple[str, str] | None:
    """The folder that moved and where it is now: ("/old/", "/new/") for /old/ops/k.py that is /new/ops/k.py now.

    None where `source` is among the files, or none of them has its name.
    """
    known = list(files)
    name = os.path.basename(source)  # noqa: PTH119 - paths are text here: they may be those of another machine
    same = [file for file in known if file.rpartition("/")[2] == name]
    if not same or source in known:
        return None
    old, new = max((_apart(file, source) for file in same), key=lambda pair: -len(pair[0]))
    return None if old in ("", "/") or new == "" else (old, new)


def relocate_text(text: str, source: str | None) -> str:
    """TTIR whose locations name the files where they are now."""
    if source is None or f'"{source}"' in text:
        return text
    quoted = [part for part in text.split('"') if part.endswith(".py")]
    moved = moved_folder(dict.fromkeys(quoted), source)
    return text if moved is None else text.replace(f'"{moved[0]}', f'"{moved[1]}')


def relocate_program(program: bytes, source: str | None) -> bytes:
    """A serialised program whose locations name the files where they are now."""
    if source is None or source.encode() in program:
        return program
    try:
        decoded = TileProgram.decode(program)
    except InvalidProgram:
        return program  # refused where it is loaded, which says what to do
    moved = moved_folder({location.file: None for location in decoded.locations}, source)
    if moved is None:
        return program
    decoded.locations = [
        Location(moved[1] + location.file.removeprefix(moved[0]), location.line, location.column)
        if location.file.startswith(moved[0])
        else location
        for location in decoded.locations
    ]
    return decoded.encode()


def _apart(old: str, new: str) -> tuple[str, str]:
    """Both paths without the folders and the name that they end in alike."""
    olds, news = old.split("/"), new.split("/")
    while len(olds) > 1 and len(news) > 1 and olds[-1] == news[-1]:
        olds.pop()
        news.pop()
    return "/".join(olds) + "/", "/".join(news) + "/"
