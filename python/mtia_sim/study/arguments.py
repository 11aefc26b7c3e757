"""What the commands of a study are given: their arguments read, and how far they are shown."""

import argparse
import sys
from collections.abc import Iterable

from mtia_core.errors import InvalidArgument


def make_folders(arguments: argparse.Namespace) -> None:
    """Of what is to be written, before anything takes time."""
    try:
        if arguments.json is not None:
            arguments.json.parent.mkdir(parents=True, exist_ok=True)
            if arguments.json.is_dir():
                raise IsADirectoryError(f"{arguments.json} is a folder")
        if arguments.out is not None:
            arguments.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidArgument(
            f"nothing can be written there: {error}", remedy="--json takes a file, --out a folder"
        ) from None


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


def show_progress(done: int, of: int) -> None:
    """A bar on the standard error, where that is a terminal."""
    if sys.stderr.isatty():
        filled = 30 * done // of
        end = "\n" if done == of else ""
        print(f"\r[{'#' * filled}{'.' * (30 - filled)}] {done} of {of}", end=end, file=sys.stderr, flush=True)
