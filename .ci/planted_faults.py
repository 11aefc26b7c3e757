"""Shows that a sanitizer's build watches: .ci/planted_faults.py build-asan runs faults of which each must be reported.

With the name of a fault after the build it commits that one, in this very process.
"""

import ctypes
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve()
KERNELS = HERE.with_suffix(".cpp")


def kernel(name: str, number: int) -> None:
    """A C++ kernel of planted_faults.cpp, on every PE, by two host threads."""
    import torch

    torch.mtia_sim.load_kernel(KERNELS, name=name)[()](number)
    torch.mtia_sim.synchronize()


def short_host_buffer() -> None:
    """The extension copies from a tensor of 4096 bytes whose memory has 4000."""
    import torch

    library = ctypes.CDLL(None)
    library.malloc.restype = ctypes.c_void_p
    memory = library.malloc(ctypes.c_size_t(4000))
    ctypes.memset(memory, 0, 4000)
    values = torch.frombuffer((ctypes.c_float * 1024).from_address(memory), dtype=torch.float32)
    values.to("mtia_sim")
    torch.mtia_sim.synchronize()


def host_overtakes_copy() -> None:
    """The host writes to pinned memory that the dispatcher's thread may still be copying from."""
    import torch

    values = torch.zeros(64).pin_memory()
    target = torch.empty(64, device="mtia_sim")
    torch.mtia_sim.synchronize()
    target.copy_(values, non_blocking=True)
    ctypes.memset(values.data_ptr(), 1, values.nbytes)
    torch.mtia_sim.synchronize()


# By a part of the build folder's name and by fault: what commits it, and the words that its report must have.
FAULTS: dict[str, dict[str, tuple[Callable[[], None], tuple[str, ...]]]] = {
    "asan": {
        "heap": (lambda: kernel("heap_overflow", 8), ("heap-buffer-overflow", KERNELS.name, "GridRun")),
        "stack": (lambda: kernel("stack_overflow", 8), ("stack-buffer-overflow|out of bounds", KERNELS.name)),
        "undefined": (lambda: kernel("signed_overflow", 1), ("signed integer overflow", KERNELS.name)),
        "host_buffer": (short_host_buffer, ("heap-buffer-overflow", "mtia::", "csrc/")),
    },
    "tsan": {
        "pes": (lambda: kernel("race_of_pes", 20000), ("data race", KERNELS.name, "WorkerPool")),
        "host_and_dispatcher": (host_overtakes_copy, ("data race", "memset", "mtia::", "csrc/")),
    },
}


def missing_words(report: str, words: tuple[str, ...]) -> list[str]:
    return [word for word in words if not any(choice in report for choice in word.split("|"))]


def main() -> int:
    build = Path(sys.argv[1]).name
    faults = next(rows for part, rows in FAULTS.items() if part in build)
    if len(sys.argv) > 2:
        faults[sys.argv[2]][0]()
        return 0
    from sanitized import ROOT, run

    failed = False
    for name, (_, words) in faults.items():
        status, report = run(ROOT / build, [str(HERE), build, name], subprocess.PIPE)
        missing = missing_words(report, words)
        if status == 0 or missing:
            failed = True
            print(
                f"{build} does not see {name}: status {status}, the report lacks {missing}\n{report}", file=sys.stderr
            )
        else:
            print(f"{build} reports {name}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
