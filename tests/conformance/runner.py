"""Runs the cases of a suite in processes of their own, so that a crash or a hang costs one case and not the run."""

import ast
import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conformance.suites import DEVICE, Suite

Result = dict[str, Any]
PLUGIN_FOLDER = Path(__file__).parent / "plugin"
_COLLECTION_S = 600  # to import and collect a file
_POLL_S = 0.05
_GRACE_S = 5  # for the dump of a hanging case's stack
_ENDINGS = (("hang", "Hang"), ("host memory", "HostMemory"))


@dataclass
class Run:
    """One invocation: a suite in a source tree, with the choice of its cases."""

    suite: Suite
    source: Path
    select: str = ""  # pytest's -k
    every: int = 1  # every n-th case of a file
    shuffle: int | None = None  # seed of a random order over all files, None for their own order
    files: tuple[str, ...] = ()  # names of files, empty for all of the suite
    jobs: int = 1
    timeout_s: int = 0  # of a case, 0 for the suite's
    memory_gib: float = 0  # of host memory that a process may take, 0 for no limit
    report: Callable[[str], None] = print
    population: int = 0  # cases of the files, of which a sample may be chosen; counted by collect
    _started: float = field(default_factory=time.monotonic)

    @property
    def root(self) -> Path:
        return self.source / self.suite.folder

    def paths(self) -> list[Path]:
        """The files of the suite, in the order of its patterns."""
        if not self.root.is_dir():
            raise SystemExit(f"{self.root} is no folder: --src is to name the source tree of suite {self.suite.name}")
        found = [path for pattern in self.suite.files for path in sorted(self.root.glob(pattern))]
        excluded = {path for pattern in self.suite.excluded for path in self.root.glob(pattern)}
        found = [path for path in dict.fromkeys(found) if path not in excluded]
        chosen = [path for path in found if not self.files or path.name in self.files]
        if not chosen:
            raise SystemExit(
                f"no file of suite {self.suite.name} in {self.root}: looked for {', '.join(self.suite.files)}"
            )
        return chosen

    def collect(self) -> tuple[list[str], dict[str, Result]]:
        """Case ids, and results of files that cannot be collected."""
        names = [str(path.relative_to(self.root)) for path in self.paths()]
        found, broken = self._collect(names)
        self.population = len(found) + len(broken)
        cases = []
        for case in (case for some in by_file(found).values() for case in some[:: self.every]):
            reason = next((reason for pattern, reason in self.suite.not_run if re.search(pattern, case)), None)
            if reason is None:
                cases.append(case)
            else:
                skip = {"outcome": "skipped", "message": f"not run here: {reason}", "stage": "collection"}
                broken[case] = {"file": file_of(case), "seconds": 0.0, **skip}
        if self.shuffle is not None:
            random.Random(self.shuffle).shuffle(cases)
        self.report(f"{len(cases)} cases in {len(names)} files")
        return cases, broken

    def _collect(self, names: list[str]) -> tuple[list[str], dict[str, Result]]:
        journal, exit_text = self._process(names, None, ("--collect-only", "--continue-on-collection-errors"))
        broken = {
            event["case"]: {**event, "file": event["case"], "stage": "collection", "seconds": 0.0}
            for event in journal
            if event["event"] == "uncollected"
        }
        lists = [event["cases"] for event in journal if event["event"] == "collected"]
        if lists:
            return lists[0], broken
        if len(names) == 1:
            crash = {"outcome": "failed", "stage": "collection", "message": exit_text, "seconds": 0.0}
            return [], broken or {names[0]: {"file": names[0], **crash}}
        found: list[str] = []
        for name in names:  # one of them took the process down: which?
            cases, others = self._collect([name])
            found += cases
            broken |= others
        return found, broken

    def run(self, cases: list[str], keep: Callable[[dict[str, Result]], None]) -> None:
        """Runs the cases, chunk by chunk; ``keep`` gets the results of each chunk as it ends."""
        size = self.suite.chunk
        if self.jobs > 1:
            size = max(1, min(size, len(cases) // (4 * self.jobs)))
        chunks = [cases[start : start + size] for start in range(0, len(cases), size)]
        with ThreadPoolExecutor(self.jobs) as pool:
            for done in as_completed([pool.submit(self._chunk, chunk) for chunk in chunks]):
                keep(done.result())

    def _chunk(self, cases: list[str]) -> dict[str, Result]:
        results: dict[str, Result] = {}
        rest = list(cases)
        while rest:
            journal, exit_text = self._process(list(by_file(rest)), rest, ())
            started = None
            for event in journal:
                if event["event"] == "start":
                    started = event["case"]
                elif event["event"] == "end":
                    results[event["case"]] = {**event, "file": file_of(event["case"])}
                    started = None
            if started is None:  # nothing was running: the process ended well, or cannot run what is left
                started = next((case for case in rest if case not in results), None)
                if started is not None and any(case in results for case in rest):
                    rest = [case for case in rest if case not in results]
                    continue
            if started is not None:
                results[started] = {
                    "file": file_of(started),
                    "outcome": "failed",
                    "stage": "process",
                    "exception": next((name for word, name in _ENDINGS if exit_text.startswith(word)), "Crash"),
                    "message": exit_text,
                    "seconds": 0.0,
                }
            rest = [case for case in rest if case not in results]
        counts = {outcome: sum(result["outcome"] == outcome for result in results.values()) for outcome in OUTCOMES}
        elapsed = time.monotonic() - self._started
        tally = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
        self.report(f"[{elapsed:6.0f} s] {', '.join(Path(name).name for name in by_file(cases))}: {tally}")
        return results

    def _process(self, names: list[str], cases: list[str] | None, more: Iterable[str]) -> tuple[list[Result], str]:
        """Journal of one pytest process over some files, and how it ended (with the last of what it printed)."""
        timeout_s = self.timeout_s or self.suite.timeout_s
        with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
            journal, output, orders = (Path(folder) / name for name in ("journal", "output", "settings.json"))
            journal.touch()
            settings = {
                "journal": str(journal),
                "cases": cases,
                "device": DEVICE,
                "returns": self.suite.returns,
                "redirect": self.suite.redirect,
                "replace": self.suite.replace,
                "renames": self.suite.renames,
                "root": str(self.root),
                "prepare": self.suite.prepare,
                "after_case": self.suite.after_case,
                "apart": self.suite.apart,
                "scripts": [Path(name).name for name in names if self.suite.scripts and is_script(self.root / name)],
                "benchmark_points": self.suite.benchmark_points,
                "timeout_s": timeout_s,
            }
            orders.write_text(json.dumps(settings))
            command = [sys.executable, "-m", "pytest", "-q", "-p", "mtia_sim_conformance", "-p", "no:cacheprovider"]
            command += ["--rootdir", str(self.root), "--tb=no", "--no-header", "-W", "ignore", *more]
            command += [
                *self.suite.options,
                *self.suite.arguments,
                *(["-k", self.select] if self.select else []),
                *names,
            ]
            with output.open("wb") as stream:
                process = subprocess.Popen(
                    command,
                    cwd=self.root,
                    env=self._environment(orders),
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                ending = _wait(process, journal, timeout_s, self.memory_gib)
            events = [json.loads(line) for line in journal.read_text().splitlines() if line.endswith("}")]
            text = output.read_bytes().decode(errors="replace")
            return events, f"{ending}\n{text[-1500:]}"

    def _environment(self, settings: Path) -> dict[str, str]:
        path = [PLUGIN_FOLDER, *(self.source / entry for entry in self.suite.python_path)]
        inherited = os.environ.get("PYTHONPATH")
        return {
            "MTIA_SIM_THREADS": str(max(1, len(os.sched_getaffinity(0)) // self.jobs)),
            "OMP_NUM_THREADS": str(max(1, len(os.sched_getaffinity(0)) // self.jobs)),
            "MPLBACKEND": "Agg",
            **os.environ,
            **dict(self.suite.environment),
            "PYTHONPATH": os.pathsep.join([*map(str, path), *([inherited] if inherited else [])]),
            "PYTHONDONTWRITEBYTECODE": "1",  # the source tree is not ours to write to
            "MTIA_SIM_CONFORMANCE": str(settings),
        }


OUTCOMES = ("passed", "failed", "skipped")


def file_of(case: str) -> str:
    """The file of a case id, relative to the root."""
    return case.split("::")[0]


def by_file(cases: list[str]) -> dict[str, list[str]]:
    """Cases by their file, in order."""
    found: dict[str, list[str]] = {}
    for case in cases:
        found.setdefault(file_of(case), []).append(case)
    return found


def is_script(path: Path) -> bool:
    """A program rather than a file of tests: it is not named like one and does not import pytest."""
    if path.name.startswith("test_") or path.name.endswith("_test.py"):
        return False
    imported = {
        alias.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    return "pytest" not in imported


def _wait(process: subprocess.Popen[bytes], journal: Path, timeout_s: int, memory_gib: float) -> str:
    """Waits for the process; kills it when nothing is written to its journal for longer than a case may take, or when
    it takes more memory than it may, before the kernel chooses whom to kill."""
    while process.poll() is None:
        idle = time.time() - journal.stat().st_mtime
        collecting = journal.stat().st_size == 0
        limit = _COLLECTION_S if collecting else timeout_s + _GRACE_S
        if idle > limit:
            _kill(process)
            return f"hang: nothing for {limit} s while {'collecting' if collecting else 'a case ran'}"
        if memory_gib and _resident_gib(process.pid) > memory_gib:
            _kill(process)
            return f"host memory: more than {memory_gib:g} GiB"
        time.sleep(_POLL_S)
    _kill(process)  # what it left behind
    code = process.returncode
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit {code}"


def _resident_gib(process: int) -> float:
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError):  # it has ended
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**30


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
