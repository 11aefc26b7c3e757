"""What the commands of a study are given: their arguments read, and how far they are shown."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from mtia_core.errors import InvalidArgument, MtiaError

_INTERRUPTED = 130  # as a shell says


def ended(command: str, work: Callable[[], int], kept: str = "what was measured is remembered") -> int:
    """The exit status of a command's work; errors are a sentence on the standard error."""
    try:
        return work()
    except (MtiaError, RuntimeError) as error:
        print(f"{command}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{command}: {error} (another file or folder may do)", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\n{command}: interrupted; {kept}: ask the same to go on", file=sys.stderr)
        return _INTERRUPTED


def make_room(files: Iterable[Path | None], folder: Path | None = None) -> None:
    """Of what is to be written, before anything takes time.

    Raises:
        InvalidArgument: A file or the folder cannot be written.
    """
    try:
        for file in files:
            if file is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.open("a").close()
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidArgument(f"nothing can be written there: {error}", remedy="name another file or folder") from None


def parse_shape(given: str | None) -> tuple[int, ...] | None:
    """Three numbers of --shape."""
    if given is None:
        return None
    try:
        first, second, third = (int(part) for part in given.split("x"))
    except ValueError:
        raise InvalidArgument(f"--shape {given!r} is no shape", remedy="write three numbers: 4096x4096x4096") from None
    if min(first, second, third) < 1:
        raise InvalidArgument(f"--shape {given!r} is empty", remedy="give three positive numbers")
    return first, second, third


def _change(given: str) -> tuple[str, float]:
    name, _, value = given.partition("=")
    try:
        if name:
            return name, float(value)
        raise ValueError
    except ValueError:
        raise InvalidArgument(f"--set {given!r} sets nothing", remedy="write FIELD=NUMBER") from None


def parse_changes(given: Iterable[str]) -> tuple[tuple[str, float], ...]:
    """Fields and values of --set.

    Raises:
        InvalidArgument: One is not FIELD=NUMBER.
    """
    return tuple(_change(each) for each in given)


def number(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.3g}" if abs(value) < 999.5 else f"{value:,.0f}"


def show_progress(done: int, of: int) -> None:
    """A bar on the standard error, where that is a terminal."""
    if sys.stderr.isatty():
        filled = 30 * done // of
        end = "\n" if done == of else ""
        print(f"\r[{'#' * filled}{'.' * (30 - filled)}] {done} of {of}", end=end, file=sys.stderr, flush=True)
