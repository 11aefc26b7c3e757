"""Runs a Python command with the extension of a sanitizer's build: .ci/sanitized.py build-asan script.py ...

Python itself, torch and Triton are not instrumented: the sanitizer's runtime is preloaded, and only what this project's
code does is checked. Exits with the command's status; a report of the sanitizer makes that non-zero.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMPILER = os.environ.get("CXX", "g++")

# By a part of the build folder's name: runtimes to preload, and their options.
SANITIZERS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "asan": (
        # libstdc++ too: the runtime looks for __cxa_throw before anything else has loaded it.
        ("libasan.so", "libubsan.so", "libstdc++.so"),
        {
            # Python and torch keep memory to the end; torch frees with one allocator what another library made.
            "ASAN_OPTIONS": "detect_leaks=0:alloc_dealloc_mismatch=0:detect_odr_violation=0",
            "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        },
    ),
    "tsan": (
        ("libtsan.so", "libstdc++.so"),
        {"TSAN_OPTIONS": f"ignore_noninstrumented_modules=1:exitcode=66:suppressions={ROOT / '.ci/tsan.supp'}"},
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


def main() -> int:
    build, *command = sys.argv[1:]
    name = next(part for part in SANITIZERS if part in build)
    libraries, options = SANITIZERS[name]
    found = [
        subprocess.run([COMPILER, f"-print-file-name={library}"], capture_output=True, text=True, check=True)
        for library in libraries
    ]
    environment = {
        **os.environ,
        **options,
        "LD_PRELOAD": ":".join(str(Path(done.stdout.strip()).resolve()) for done in found),
        "PYTHONPATH": str(overlay(ROOT / build)),
    }
    # Shadow memory wants the addresses where it expects them.
    return subprocess.run(["setarch", "-R", sys.executable, *command], env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
