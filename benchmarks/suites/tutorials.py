"""Loads Triton's tutorials from a checkout: their kernels and functions, without their benchmarks."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import triton


class NoReport:
    """In place of triton.testing.perf_report: what the tutorial would plot is not run."""

    def __init__(self, *_: Any) -> None: ...

    def __call__(self, function: Any) -> "NoReport":
        return self

    def run(self, **_: Any) -> None: ...


def load_tutorial(folder: Path, number: str) -> ModuleType:
    """Runs `folder/NN-*.py` as a module, on the device of Triton's active driver."""
    name = f"tutorial_{number}"
    if name in sys.modules:
        return sys.modules[name]
    found = sorted(folder.glob(f"{number}-*.py"))
    if len(found) != 1:
        raise FileNotFoundError(f"{folder} holds {len(found)} files {number}-*.py; give Triton's python/tutorials")
    spec = importlib.util.spec_from_file_location(name, found[0])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    perf_report, triton.testing.perf_report = triton.testing.perf_report, NoReport
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        triton.testing.perf_report = perf_report
    return module
