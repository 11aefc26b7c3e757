"""The pytest plugin of a conformance run: changes the device of a suite as its row says and journals every case.

It is loaded with ``-p`` into a process that runs somebody else's tests, so it stands alone in its folder. What it is to
do is in the JSON file that the environment variable MTIA_SIM_CONFORMANCE names: ``journal`` (file of JSON lines,
written as cases start and end), ``cases`` (node ids to run, or null for all), ``device``, ``returns``, ``redirect``,
``replace``, ``renames`` (and ``root``), ``prepare``, ``after_case``, ``apart``, ``scripts``, ``benchmark_points``,
``timeout_s``.
"""

import contextlib
import faulthandler
import json
import os
import pkgutil
import runpy
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SETTINGS: dict[str, Any] = json.loads(Path(os.environ["MTIA_SIM_CONFORMANCE"]).read_text())
_own_process = os.getpid()
_MESSAGE = 2000  # characters kept of an exception's text
_journal = Path(SETTINGS["journal"]).open("a", buffering=1, encoding="utf-8")  # noqa: SIM115


def _write(event: str, **fields: Any) -> None:
    _journal.write(json.dumps({"event": event, **fields}) + "\n")


class Script(pytest.Item):
    """A file without tests: it passes if it runs to its end as a program."""

    def runtest(self) -> None:
        sys.argv = [str(self.path)]
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # for the plots that it saves
            runpy.run_path(str(self.path), run_name="__main__")

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, f"script {self.path.name}"


class ScriptFile(pytest.File):
    def collect(self) -> Iterator[pytest.Item]:
        yield Script.from_parent(self, name="script")


def _shorten_benchmarks(points: int) -> None:
    """Keeps the first sizes of every triton.testing.Benchmark."""
    import triton.testing

    original = triton.testing.Benchmark.__init__

    def shortened(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        self.x_vals = self.x_vals[:points]

    triton.testing.Benchmark.__init__ = shortened


def _change_device() -> None:
    if SETTINGS["renames"]:
        from mtia_sim_renaming import install

        install(Path(SETTINGS["root"]), SETTINGS["renames"])
    if SETTINGS["redirect"]:
        from mtia_sim_redirection import Redirection  # imports torch, which not every suite needs

        redirection = Redirection(SETTINGS["redirect"], SETTINGS["device"])
        redirection.replace_classes()
        redirection.__enter__()
    for name, value in SETTINGS["returns"]:
        module, attribute = name.rsplit(".", 1)
        if isinstance(value, list):
            value = tuple(value)  # JSON knows no tuples
        setattr(pkgutil.resolve_name(module), attribute, lambda *args, value=value, **kwargs: value)
    for name, other in SETTINGS["replace"]:
        module, attribute = name.rsplit(".", 1)
        setattr(pkgutil.resolve_name(module), attribute, pkgutil.resolve_name(other))
    if SETTINGS["prepare"]:
        pkgutil.resolve_name(SETTINGS["prepare"])()


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Before the suite's own conftest files are imported: they take names from the modules that change."""
    _change_device()
    if SETTINGS["benchmark_points"]:
        _shorten_benchmarks(SETTINGS["benchmark_points"])


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> Iterator[None]:
    collected = yield
    if file_path.name in SETTINGS["scripts"]:
        return [ScriptFile.from_parent(parent, path=file_path)]
    return collected


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.outcome == "passed":
        return
    text = report.longrepr[-1] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    _write("uncollected", case=report.nodeid, outcome=report.outcome, message=str(text)[-_MESSAGE:])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = SETTINGS["cases"]
    if wanted is not None:
        by_id = {item.nodeid: item for item in items}
        items[:] = [by_id[case] for case in wanted if case in by_id]
    _write("collected", cases=[item.nodeid for item in items])


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Cases that are to run apart run in a fork of this process, which stays as it was: the forks that a case makes in
    turn are then of a process that has not used the device."""
    if not SETTINGS["apart"] or os.getpid() != _own_process:
        return None
    child = os.fork()
    if child == 0:
        item.ihook.pytest_runtest_protocol(item=item, nextitem=None)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status != 0:
        ending = f"killed by {signal.Signals(status).name}" if os.WIFSIGNALED(status) else f"exit {status >> 8}"
        _write("end", case=item.nodeid, outcome="failed", stage="process", exception="Crash", message=ending, seconds=0)
    return True


@pytest.hookimpl(hookwrapper=True, specname="pytest_runtest_protocol")
def pytest_runtest_protocol_journal(item: pytest.Item) -> Iterator[None]:
    if SETTINGS["apart"] and os.getpid() == _own_process:
        yield
        return
    item.conformance = {"seconds": time.perf_counter(), "outcome": "passed"}  # type: ignore[attr-defined]
    _write("start", case=item.nodeid)
    faulthandler.dump_traceback_later(SETTINGS["timeout_s"], exit=False)
    yield
    faulthandler.cancel_dump_traceback_later()
    if SETTINGS["after_case"]:
        pkgutil.resolve_name(SETTINGS["after_case"])()
    result = item.conformance  # type: ignore[attr-defined]
    result["seconds"] = round(time.perf_counter() - result["seconds"], 4)
    _write("end", case=item.nodeid, **result)


def _where(error: BaseException, path: str) -> dict[str, Any]:
    """The deepest statement of the test's own file on the way to the error, and where the error was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return {}
    own = [frame for frame in frames if frame.filename == path] or frames
    raised = frames[-1]
    return {
        "statement": own[-1].line,
        "line": own[-1].lineno,
        "raised_line": raised.line,
        "raised": f"{raised.filename}:{raised.lineno} in {raised.name}",
    }


def _exception_text(error: BaseException) -> str:
    """The text of an error and of what caused it."""
    parts: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(parts) < 4:
        parts.append(f"{type(cause).__name__}: {cause}")
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return "\ncaused by ".join(_shortened(part) for part in parts)


def _shortened(text: str) -> str:
    """Beginning and end: what was raised in another process stands behind its stack."""
    return text if len(text) <= _MESSAGE else f"{text[:200]}\n...\n{text[200 - _MESSAGE :]}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()
    result = item.conformance  # type: ignore[attr-defined]
    if report.outcome == "passed" or result["outcome"] == "failed":
        if report.outcome == "passed" and hasattr(report, "wasxfail") and call.when == "call":
            result["message"] = f"passed although expected to fail: {report.wasxfail}"
        return
    result["outcome"] = report.outcome
    result["stage"] = call.when
    error = call.excinfo.value if call.excinfo is not None else None
    if hasattr(report, "wasxfail"):
        result["message"] = f"expected failure: {report.wasxfail}"
    elif report.outcome == "skipped":
        _, line, text = report.longrepr if isinstance(report.longrepr, tuple) else ("", 0, str(report.longrepr))
        result["message"] = text.removeprefix("Skipped: ")
        result["line"] = line
        if error is not None:
            result |= {"statement": _where(error, str(item.path)).get("statement")}
    elif error is not None:
        result["exception"] = type(error).__name__
        result["message"] = _exception_text(error)
        result |= _where(error, str(item.path))
    else:
        result["message"] = str(report.longrepr)[-_MESSAGE:]
