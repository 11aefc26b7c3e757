"""Runs a Python command with the extension of a sanitizer's build: .ci/sanitized.py build-asan script.py ...

Python itself, torch and Triton are not instrumented: the sanitizer's runtime is preloaded, and only what this project's
code does is checked, C++ kernels that the command loads included. Exits with the command's status, or with 1 where any
process of the command left a report; reports are printed at the end and stay in BUILD/reports.
"""

import dataclasses
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMPILER = os.environ.get("CXX", "g++")


@dataclasses.dataclass(frozen=True)
class Sanitizer:
    """Runtimes to preload, by which variable they take options, and the flags that instrument a loaded C++ kernel."""

    libraries: tuple[str, ...]
    options: dict[str, str]
    flags: tuple[str, ...]


# By a part of the build folder's name. libstdc++ is preloaded too: the runtimes look for __cxa_throw before anything
# else has loaded it.
SANITIZERS = {
    "asan": Sanitizer(
        ("libasan.so", "libubsan.so", "libstdc++.so"),
        {
            # Python and torch keep memory to the end; torch frees with one allocator what another library made.
            "ASAN_OPTIONS": "detect_leaks=0:alloc_dealloc_mismatch=0:detect_odr_violation=0",
            "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        },
        ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"),
    ),
    "tsan": Sanitizer(
        ("libtsan.so", "libstdc++.so"),
        {"TSAN_OPTIONS": f"exitcode=66:suppressions={ROOT / '.ci/tsan.supp'}"},
        ("-fsanitize=thread", "-fno-omit-frame-pointer"),
    ),
}


def overlay(build: Path) -> Path:
    """A folder with the package mtia_sim as it is in the checkout, but for the build's own extension."""
    site = build / "site"
    package = site / "mtia_sim"
    package.mkdir(parents=True, exist_ok=True)
    for old in package.iterdir():
        old.unlink()
    for path in (ROOT / "python" / "mtia_sim").iterdir():
        if path.suffix != ".so" and path.name != "__pycache__":
            (package / path.name).symlink_to(path)
    extension = next((build / "extension").glob("_C.*.so"))
    (package / extension.name).symlink_to(extension)
    return site


def kernel_compiler(build: Path, flags: tuple[str, ...]) -> Path:
    """A compiler for load_kernel: it instruments, and runs without the runtime that the caller preloads."""
    path = build / "kernel_compiler"
    path.write_text(f'#!/bin/sh\nunset LD_PRELOAD\nexec {shlex.join([COMPILER, *flags])} "$@"\n')
    path.chmod(0o755)
    return path


def library(name: str) -> str:
    done = subprocess.run([COMPILER, f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    return str(Path(done.stdout.strip()).resolve())


def run(build: Path, command: list[str], stderr: int | None = None) -> tuple[int, str]:
    """Status and reports of `python command` under the sanitizer of a build.

    With subprocess.PIPE what it writes to stderr is one of the reports, else it is shown: UBSan beside ASan writes
    to stderr whatever log_path says, and ends the process.
    """
    sanitizer = next(row for part, row in SANITIZERS.items() if part in build.name)
    reports = build / "reports"
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir()
    environment = {
        # Two host threads, or nothing of ours would run beside anything. One of OpenMP: its barriers are invisible.
        "MTIA_SIM_THREADS": "2",
        "OMP_NUM_THREADS": "1",
        **os.environ,
        **{name: f"{value}:log_path={reports / 'report'}" for name, value in sanitizer.options.items()},
        "CXX": str(kernel_compiler(build, sanitizer.flags)),
        "MTIA_SIM_CACHE_DIR": str(build / "cache"),
        "TRITON_CACHE_DIR": str(build / "cache" / "triton"),
        "LD_PRELOAD": ":".join(map(library, sanitizer.libraries)),
        "PYTHONPATH": str(overlay(build)),
    }
    # Shadow memory wants the addresses where it expects them.
    done = subprocess.run(["setarch", "-R", sys.executable, *command], env=environment, stderr=stderr)
    texts = [path.read_text(errors="replace") for path in sorted(reports.iterdir())]
    return done.returncode, "".join(texts) + (done.stderr or b"").decode(errors="replace")


def main() -> int:
    status, reports = run(ROOT / sys.argv[1], sys.argv[2:])
    if reports:
        print(reports, file=sys.stderr)
    return status or (1 if reports else 0)


if __name__ == "__main__":
    sys.exit(main())
