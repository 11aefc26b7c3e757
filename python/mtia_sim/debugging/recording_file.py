"""The stored form of a recorded launch: a zip archive, described in docs/debugging.md."""

import json
import lzma
import os
import platform
import struct
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch

from mtia_core import chips
from mtia_core.errors import InvalidArgument

FORMAT = 3
_PAGE = 4096
_MANIFEST = "manifest.json"
_PLAIN = (
    "kernel",
    "grid",
    "arguments",
    "extents",
    "allocations",
    "loop_limit",
    "number",
    "launched_by",
    "error",
    "checks",
)
# What reading a file of any content raises: a zip archive may also name a compression method that Python lacks
# (NotImplementedError), say that it is encrypted (RuntimeError), or end inside a structure.
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, OSError, LookupError, ValueError, EOFError,
    TypeError, AttributeError, RuntimeError, MemoryError, OverflowError,
)  # fmt: skip


def write(path: str | os.PathLike[str], recording: dict[str, Any], device: int, base: int) -> None:
    """Stores what the extension took down of a launch; an existing file is replaced at once, when all is written."""
    pages = recording["pages"]
    manifest: dict[str, Any] = {
        "format": FORMAT,
        **{name: recording[name] for name in _PLAIN},
        "pages": [address for address, _, _ in pages],
        "written": [number for number, (_, _, after) in enumerate(pages) if after],
        "chip": chips.load().name,
        "device": device,
        "device_memory_base": base,
        "versions": {
            "mtia_sim": _own_version(),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
        file = Path(folder) / target.name
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as archive:
            archive.writestr(_MANIFEST, json.dumps(manifest, indent=1))
            archive.writestr("chip.txt", chips.load().serialise())
            if recording["program"]:
                archive.writestr("program.tileprog", recording["program"])
            if recording["shared_object"]:
                archive.write(recording["shared_object"], "kernel.so")
            archive.writestr("memory.before", b"".join(before for _, before, _ in pages))
            archive.writestr("memory.after", b"".join(after for _, _, after in pages))
        file.replace(target)


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A recording as the extension takes it, with `chip_text`, `chip`, `versions`, `device_memory_base` beside.

    Raises InvalidArgument in one sentence for a file that is no recording, damaged, or of another format.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = json.loads(archive.read(_MANIFEST))
            if manifest.get("format") != FORMAT:
                raise InvalidArgument(
                    f"a recording of format {manifest.get('format')}, this version reads {FORMAT}",
                    os.fspath(path),
                    "record the launch again",
                )
            names = archive.namelist()
            before, after = archive.read("memory.before"), archive.read("memory.after")
            recording: dict[str, Any] = {name: manifest[name] for name in _PLAIN}
            recording["program"] = archive.read("program.tileprog") if "program.tileprog" in names else b""
            recording["kernel_object"] = archive.read("kernel.so") if "kernel.so" in names else b""
            recording["shared_object"] = ""
            recording["chip_text"] = archive.read("chip.txt").decode()
            for name in ("chip", "versions", "device", "device_memory_base"):
                recording[name] = manifest[name]
            written = {number: place for place, number in enumerate(manifest["written"])}
            addresses = manifest["pages"]
            if len(before) != len(addresses) * _PAGE or len(after) != len(written) * _PAGE:
                raise ValueError("its memory has another size than its list of pages")
            recording["pages"] = [
                (
                    address,
                    before[number * _PAGE : (number + 1) * _PAGE],
                    after[written[number] * _PAGE : (written[number] + 1) * _PAGE] if number in written else b"",
                )
                for number, address in enumerate(addresses)
            ]
            return recording
    except FileNotFoundError:
        raise InvalidArgument("there is no such file", os.fspath(path), "give a file that record() wrote") from None
    except InvalidArgument:
        raise
    except _DAMAGE as error:
        text = str(error) or type(error).__name__
        raise InvalidArgument(
            f"no whole recording of a launch: {text}", os.fspath(path), "record the launch again"
        ) from None


def _own_version() -> str:
    from importlib import metadata

    try:
        return metadata.version("mtia-sim")
    except metadata.PackageNotFoundError:
        return "unknown"
