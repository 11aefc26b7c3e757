"""Compiles C++ kernels with the host's compiler into shared objects, and keeps them in the user's cache folder."""

import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

from mtia_core import errors

INCLUDE = Path(__file__).resolve().parent / "include"

# -fsanitize-coverage=trace-pc: a call at every basic block, by which a kernel that loops for ever is noticed.
# --wrap: kernel.h has these functions end the role instead of the process.
# -fstack-clash-protection: a large array on a role's stack meets the page below it that faults, instead of leaping it.
FLAGS = (
    "-std=c++20",
    "-O2",
    "-g",
    "-fPIC",
    "-shared",
    "-fvisibility=hidden",
    "-ffp-contract=off",
    "-Wall",
    "-Wextra",
    "-fsanitize-coverage=trace-pc",
    "-fstack-clash-protection",
    "-DMTIA_KERNEL_MODULE",
    "-Wl,--wrap=abort,--wrap=__assert_fail,--wrap=_ZSt9terminatev",
)

DEBUG_FLAGS = ("-O0", "-g3")


def cache_folder() -> Path:
    """MTIA_SIM_CACHE_DIR, or mtia_sim in the user's cache folder."""
    if folder := os.environ.get("MTIA_SIM_CACHE_DIR"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mtia_sim"


def compiler() -> str:
    """The path of the host's C++ compiler: CXX, else the first of c++, g++ and clang++. Raises LaunchFailure."""
    for name in filter(None, (os.environ.get("CXX"), "c++", "g++", "clang++")):
        if found := shutil.which(name):
            return found
    raise errors.LaunchFailure(
        "no C++ compiler is on PATH", "load_kernel", "install g++ 12 or clang++ 15 or newer, or name one in CXX"
    )


@functools.cache
def _identity(path: str, changed: int) -> str:
    """What a compiler says it is; `changed` is its file's time, so that another one under the same path is noticed."""
    return subprocess.run([path, "--version"], check=True, capture_output=True, text=True).stdout


@functools.cache
def _headers(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "absent"


def compile_kernel(source: Path, options: Sequence[str] = ()) -> Path:
    """Returns the shared object of a kernel's source, compiled now or found in the cache.

    The cache knows a kernel by its text, everything that it includes, the header of the tile API, the compiler and the
    flags. Warnings of the compiler are shown as RuntimeWarning. Raises InvalidProgram with the compiler's text.
    """
    source = source.resolve()
    if not source.is_file():
        raise errors.InvalidArgument(f"there is no file {source}", "load_kernel", "give the path of a C++ source")
    program = compiler()
    flags = [*FLAGS, "-isystem", str(INCLUDE), *options]
    key = hashlib.sha256()
    for part in (
        str(source),
        _digest(source),
        _headers(INCLUDE),
        _identity(program, Path(program).stat().st_mtime_ns),
        *flags,
    ):
        key.update(part.encode() + b"\0")
    folder = cache_folder() / "cpp_kernels" / key.hexdigest()[:32]
    if not _is_current(folder):
        _compile(program, flags, source, folder)
    if (notes := (folder / "warnings.txt").read_text()).strip():
        warnings.warn(f"{source.name} compiles with warnings:\n{notes}", RuntimeWarning, stacklevel=4)
    return next(folder.glob("kernel_*.so"))


def _is_current(folder: Path) -> bool:
    record = folder / "dependencies.json"
    if not record.is_file():
        return False
    return all(_digest(Path(path)) == digest for path, digest in json.loads(record.read_text()).items())


def _compile(program: str, flags: Sequence[str], source: Path, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        fresh = Path(name)
        command = [program, *flags, "-MMD", "-MF", str(fresh / "rule"), str(source), "-o", str(fresh / "kernel.so")]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise errors.InvalidProgram(
                f"does not compile with {Path(program).name}{_broken_rule(done.stderr, source)}\n{done.stderr.strip()}",
                str(source),
                "mend the lines that the compiler names (docs/kernels_cpp.md lists the rules)",
            )
        (fresh / "warnings.txt").write_text(done.stderr)
        own = [path for path in _prerequisites((fresh / "rule").read_text()) if INCLUDE not in path.parents]
        record = json.dumps({str(path): _digest(path) for path in own})
        (fresh / "dependencies.json").write_text(record)
        # A name of its own for each text: a process that has one loaded would be given it again under the same name.
        digest = hashlib.sha256(record.encode()).hexdigest()[:16]
        (fresh / "kernel.so").rename(fresh / f"kernel_{digest}.so")
        fresh.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder, ignore_errors=True)
        # Another process may have been faster; its result is as good.
        try:
            fresh.rename(folder)
        except OSError:
            if not _is_current(folder):
                raise
        else:
            fresh.mkdir()


def _prerequisites(rule: str) -> list[Path]:
    """The files that a rule of make names behind its target: blanks, # and $ are escaped there."""
    words = re.split(r"(?<!\\)\s+", rule.replace("\\\n", " ").split(": ", 1)[1].strip())
    return [Path(re.sub(r"\\([ #])", r"\1", word).replace("$$", "$")) for word in words]


def _broken_rule(text: str, source: Path) -> str:
    """ ": it breaks RULE at FILE:LINE" of the first rule of the tile API that a compiler's text names."""
    place = re.compile(rf"{re.escape(source.name)}:(\d+):\d+:")
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if rule := re.search(r"static assert\w* failed.*?(mtia_rule_\w+[^'\"‘’]*)", line):
            # g++ names the place before the error ("required from here"), clang after it ("requested here").
            before = [place.search(other) for other in lines[:number] if "required from" in other]
            after = [place.search(other) for other in lines[number + 1 :] if "requested here" in other]
            found = next(filter(None, [*reversed(before), *after]), None)
            return f": it breaks {rule[1].strip()}" + (f" at {source.name}:{found[1]}" if found else "")
    return ""
