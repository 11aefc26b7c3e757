"""Workloads of a user's own: FILE.py:function. What goes wrong in them is said in a sentence with their own line."""

import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from mtia_core.errors import InvalidArgument, MtiaError


def locate(workload: str, known: Iterable[str]) -> tuple[Path, str]:
    """The file and the function that a workload names which is none of those known.

    Raises:
        InvalidArgument: It names none, or the file is not there.
    """
    path, _, name = workload.rpartition(":")
    if not path.endswith(".py") or not re.fullmatch(r"\w+", name):
        raise InvalidArgument(
            f"there is no workload {workload!r}", remedy=f"give one of {', '.join(known)}, or FILE.py:function"
        )
    if not Path(path).is_file():
        raise InvalidArgument(f"there is no file {path}", remedy="give the path of a Python file and a function of it")
    return Path(path), name


def digest(workload: str) -> str:
    """Of the file of a workload and of its neighbours, which it may import; "" where the workload is no file's."""
    path = Path(workload.rpartition(":")[0])
    if path.suffix != ".py" or not path.is_file():
        return ""
    folder = path.resolve().parent
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    packages = [each.parent for each in sorted(folder.glob("*/__init__.py"))]
    found = hashlib.sha256(path.read_bytes())
    for file in (*sorted(folder.glob("*.py")), *(file for each in packages for file in sorted(each.rglob("*.py")))):
        if file.is_file():
            found.update(f"\0{file.relative_to(folder)}\0".encode() + file.read_bytes())
    return found.hexdigest()


def load(path: Path, name: str) -> Callable[[], Any]:
    """A function of a file, whose errors are InvalidArgument.

    Raises:
        InvalidArgument: The file cannot be imported, or has no such function without arguments.
    """
    module = _explained(path, "importing it", lambda: _module(path.resolve()))()
    function = getattr(module, name, None)
    if not callable(function):
        raise InvalidArgument(f"{path} has no function {name}", remedy="name a function that takes no arguments")
    try:
        inspect.signature(function).bind()
    except (TypeError, ValueError):
        raise InvalidArgument(f"{name} of {path} takes arguments", remedy="wrap it in one that takes none") from None
    return _explained(path, name, function)


def _module(path: Path) -> ModuleType:
    """The file as a module of its package, or of one that is its folder: it may import its neighbours either way."""
    folder, parts = path.parent, [path.stem]
    while (folder / "__init__.py").is_file():
        folder, parts = folder.parent, [folder.name, *parts]
    sys.path.insert(0, str(folder))
    if len(parts) > 1:
        return importlib.import_module(".".join(parts))
    package = ModuleType("studied")
    package.__path__ = [str(folder)]
    sys.modules[package.__name__] = package
    specification = importlib.util.spec_from_file_location(f"studied.{path.stem}", path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[module.__name__] = module
    specification.loader.exec_module(module)
    return module


def _explained(path: Path, what: str, function: Callable[[], Any]) -> Callable[[], Any]:
    """The function with its exceptions as InvalidArgument, but those that say all of it themselves."""

    def called() -> Any:
        try:
            return function()
        except (MtiaError, torch.OutOfMemoryError):
            raise
        except (Exception, SystemExit) as error:
            frames = traceback.extract_tb(error.__traceback__)
            own = [frame for frame in frames if Path(frame.filename).resolve() == path.resolve()]
            line = error.lineno if isinstance(error, SyntaxError) else own[-1].lineno if own else None
            where = path.name if line is None else f"{path.name}:{line}"
            said = " ".join(str(error).split())
            raise InvalidArgument(
                f"{what} ended with {type(error).__name__}{': ' if said else ''}{said}",
                where,
                f"mend it: python {path} shows whether the file alone runs",
            ) from error

    return called
