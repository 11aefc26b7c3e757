"""Programs of ahead-of-time launches on disk, beside Triton's own cache.

Triton's cache hashes 460 MB of libtriton once a process before its first look-up; this one knows that file by its size
and time, so that a process that only needs known programs starts without the wait.
"""

import functools
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import triton
from triton._C import libtriton

from mtia_core.errors import InvalidProgram
from mtia_core.program import check

_VERSION = 1


def launch_key(kernel: Any, types: Mapping[str, str], constants: Mapping[str, Any], options: Any, backend: Any) -> str:
    """Key of everything that a launch's program depends on."""
    described = {name: getattr(value, "cache_key", None) or repr(value) for name, value in constants.items()}
    parts = [
        str(_VERSION),
        _triton_fingerprint(),
        kernel.cache_key,
        source_file(kernel),
        repr(sorted(types.items())),
        repr(sorted(described.items())),
        options.hash(),
        backend.hash(),
        repr(sorted(libtriton.get_cache_invalidating_env_vars().items())),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def source_file(kernel: Any) -> str:
    """The file of a @triton.jit function: programs carry it for their messages, which Triton's cache key leaves out."""
    return str(kernel.fn.__code__.co_filename)


@functools.cache
def _triton_fingerprint() -> str:
    status = Path(libtriton.__file__).stat()
    return f"{triton.__version__}-{status.st_size}-{status.st_mtime_ns}"


def _path(key: str) -> Path:
    return Path(triton.knobs.cache.dir) / "mtia_sim" / f"{key}.tileprog"


def read(key: str) -> tuple[bytes, int] | None:
    """Program and local memory of a key; None where it is unknown, or its file is damaged and has to be made again."""
    if triton.knobs.compilation.always_compile:
        return None
    try:
        head, _, program = _path(key).read_bytes().partition(b"\n")
        local_memory_bytes = int(json.loads(head)["local_memory_bytes"])
        check(program)
    except (OSError, ValueError, KeyError, TypeError, InvalidProgram):
        return None
    return program, local_memory_bytes


def write(key: str, program: bytes, local_memory_bytes: int) -> None:
    """Keeps a program; a cache that cannot be written is no error."""
    path = _path(key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(json.dumps({"local_memory_bytes": local_memory_bytes}).encode() + b"\n" + program)
        os.replace(file.name, path)  # noqa: PTH105 - whole or not at all
    except OSError:
        return
