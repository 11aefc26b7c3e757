"""Checked mode: the device watches every access for what silicon would not notice, and names kernel, line and element.

``MTIA_SIM_CHECK=1`` checks a whole program, ``with torch.mtia_sim.check():`` a part of it. docs/checks.md lists the
checks."""

import json
import os
import threading
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, cast

from mtia_core.errors import InvalidArgument, MtiaError
from mtia_sim import _C

VARIABLE = "MTIA_SIM_CHECK"
JSON_VARIABLE = "MTIA_SIM_CHECK_JSON"
ON_FINDING_VARIABLE = "MTIA_SIM_CHECK_ON_FINDING"
SEED_VARIABLE = "MTIA_SIM_CHECK_SEED"

OnFinding = Literal["raise", "warn"]

_lock = threading.RLock()
_active: list["check"] = []


class CheckWarning(UserWarning):
    """A finding of checked mode that is no error, or that `on_finding="warn"` keeps from being one."""


class check:
    """Checked mode while the context is open, on all devices.

    on_finding: "raise": an error is an exception at the next synchronising call, and stops the program in which an
        access outside of its tensor was about to happen. "warn": a CheckWarning; programs go on where that is safe.
    json: where the findings are written when the context ends: a list of objects, one a finding.
    seed: other than 0: roles and processing elements of C++ kernels, and programs whose order matters, run in a random
        order that it chooses.

    Entering waits for the device. What happened to memory before is unknown and never a finding. Contexts may be
    nested; the outermost one counts.

    Raises:
        InvalidArgument: `on_finding` is neither "raise" nor "warn".
        MtiaError: On leaving, a finding that nobody waited for.
    """

    def __init__(
        self, *, on_finding: OnFinding = "raise", json: str | os.PathLike[str] | None = None, seed: int = 0
    ) -> None:
        if on_finding not in ("raise", "warn"):
            raise InvalidArgument(f"on_finding={on_finding!r}", "check", 'pass "raise" or "warn"')
        self.on_finding = on_finding
        self.json = json
        self.seed = seed

    def __enter__(self) -> "check":
        with _lock:
            if not _active:
                _start(self.on_finding, self.seed)
            _active.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with _lock:
            _active.remove(self)
            try:
                if kind is None:
                    _synchronize()
                warn_of_findings()
            finally:
                if not _active:
                    _C.stop_checking()
                if self.json is not None:
                    write_findings(self.json)


def findings() -> list[dict[str, Any]]:
    """The findings of all devices since the process began or clear_findings(), the latest 1,000 of each.

    Each has: check, severity, error (its exception's class), device, kernel, program or role, pe, instruction and its
    disassembly, line, launched (the line of the Python program), tensor, shape, strides, index, address, bytes,
    problem, before (what touched the memory before), where, remedy.
    """
    return list(_C.findings())


def clear_findings() -> None:
    """Forgets all findings."""
    _C.clear_findings()


def write_findings(path: str | os.PathLike[str]) -> None:
    """Writes findings() as JSON."""
    Path(path).write_text(json.dumps(findings(), indent=1) + "\n")


def warn_of_findings() -> None:
    """A CheckWarning for each finding that is to be one and has not been."""
    kinds = [True, False] if _raises is False else [True]
    for of_warnings in kinds:
        for finding in _C.take_findings(of_warnings):
            before = f"; {finding['before']}" if finding["before"] else ""
            text = f"{finding['check']}: {finding['where']}: {finding['problem']}{before}; {finding['remedy']}"
            warnings.warn(text, CheckWarning, stacklevel=3)


def start_from_environment() -> None:
    """Follows MTIA_SIM_CHECK when the package is imported; the devices are made later.

    Raises:
        InvalidArgument: MTIA_SIM_CHECK_ON_FINDING is neither "raise" nor "warn", or MTIA_SIM_CHECK_SEED no number.
    """
    if os.environ.get(VARIABLE, "0") in ("", "0"):
        return
    wanted = os.environ.get(ON_FINDING_VARIABLE) or "raise"
    if wanted not in ("raise", "warn"):
        raise InvalidArgument(f"{ON_FINDING_VARIABLE}={wanted}", remedy='set it to "raise" or "warn"')
    seed = os.environ.get(SEED_VARIABLE) or "0"
    if not seed.isdecimal():
        raise InvalidArgument(f"{SEED_VARIABLE}={seed}", remedy="set it to a number, 0 for the ordinary order")
    _of_environment.append(check(on_finding=cast(OnFinding, wanted), seed=int(seed)).__enter__())


def wait_for_the_last_work() -> str:
    """When a program that MTIA_SIM_CHECK checks ends: an error of what is still under way, which would be dropped."""
    if not _of_environment or _C.is_in_bad_fork():
        return ""
    try:
        _synchronize()
    except MtiaError as error:
        return str(error)
    return ""


def finish() -> None:
    """When the process ends and its devices have stopped: what MTIA_SIM_CHECK found and nobody has heard of."""
    if not _of_environment:
        return
    warn_of_findings()
    if path := os.environ.get(JSON_VARIABLE):
        write_findings(path)


_of_environment: list[check] = []
_raises: bool | None = None


def _start(on_finding: OnFinding, seed: int) -> None:
    global _raises
    _raises = on_finding == "raise"
    _C.start_checking(_raises, seed)


def _synchronize() -> None:
    if _C.is_configured():
        for index in range(_C.device_count()):
            _C.synchronize(index)
