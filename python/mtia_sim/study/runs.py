"""Measurements of workloads on chips: each in a process of its own, remembered by workload, chip and code."""

import functools
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import mtia_core
from mtia_core import chips
from mtia_core.chips import Chip
from mtia_core.errors import InvalidArgument, InvalidChip
from mtia_sim.study import own_workloads
from mtia_sim.study.jobs import JOBS, attention_environment
from mtia_sim.study.plans import Plan
from mtia_sim.study.workloads import Options

CACHE_VARIABLE = "MTIA_SIM_STUDY_CACHE"
CHANGED = "-changed"  # behind the name of a chip some of whose fields are set otherwise
_LARGEST_DRAM = 1 << 44  # bytes of addresses that any host has
_AT_END = 10  # seconds that a process which has answered all may take to end


@dataclass(frozen=True)
class Run:
    """One workload on one chip, some of whose fields may be set otherwise."""

    workload: str
    chip: str
    options: Options = field(default_factory=Options)
    changes: tuple[tuple[str, float], ...] = ()

    def load(self) -> Chip:
        """The chip with its changes.

        Raises:
            InvalidChip: No such chip or field, or a value out of its range.
        """
        if not self.changes:
            return chips.load(self.chip)
        with tempfile.TemporaryDirectory() as folder:
            path = self.write(Path(folder))
            try:
                return chips.load(path)
            except InvalidChip as error:
                raise InvalidChip(error.problem, f"{self.chip}, as changed", error.remedy) from None

    def write(self, folder: Path) -> str:
        """A name or a file that MTIA_SIM_CHIP takes."""
        if not self.changes:
            return self.chip
        groups: dict[str, list[str]] = {}
        by_name = {each.name: each for each in chips.fields()}
        for name, value in dict(self.changes).items():  # the last one holds
            if name not in by_name:
                raise InvalidChip(f"no chip has a field {name}", remedy="docs/chips.md lists all fields")
            exactly = f'{{ value = {value!r}, kind = "assumed", range = [{value!r}, {value!r}], how = "set" }}'
            groups.setdefault(by_name[name].group, []).append(f"{name} = {exactly}")
        base = chips.load(self.chip)
        lines = [f"name = {_quoted(base.name + CHANGED)}", f"base = {_quoted(base.path)}"]
        for group, entries in groups.items():
            lines += [f"[{group}]", *entries]
        path = folder / "chip.toml"
        path.write_text("\n".join(lines) + "\n")
        return str(path)

    def environment(self) -> dict[str, str]:
        """What the process that measures it needs beside the chip: to stand for one of the chips of a plan, or to have
        another attention."""
        if self.workload in JOBS:
            return JOBS[self.workload].environment
        if self.options.plan is None:
            return attention_environment(False)
        return attention_environment(False) | {
            "MTIA_SIM_WORLD": f"0/{Plan(*self.options.plan).chips}",
            "MTIA_SIM_MODE": "timing",
        }

    def with_room(self) -> "Run":
        """The same on a chip with more memory than anything needs: what a workload that does not fit would take."""
        return Run(self.workload, self.chip, self.options, (*self.changes, ("dram_bytes", _LARGEST_DRAM)))


@functools.cache
def code() -> str:
    """A digest of everything that a measurement depends on beside workload and chip."""
    digest = hashlib.sha256()
    packages = Path(mtia_core.__file__).parents[1]
    kernels = packages.parent / "kernels"
    for folder in (packages / "mtia_core", packages / "mtia_sim", packages / "triton_mtia_sim", kernels):
        for path in sorted((*folder.rglob("*.py"), *folder.rglob("*.so"))):
            status = path.stat()
            digest.update(f"{path.relative_to(folder)} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _cache() -> Path:
    given = os.environ.get(CACHE_VARIABLE)
    return Path(given) if given else Path("~/.cache/mtia_sim/study").expanduser()


def _quoted(text: object) -> str:
    return json.dumps(str(text), ensure_ascii=False)  # a string of TOML's, too


def _text(chip: Chip) -> str:
    return chip.serialise() + chip.serialise_cluster()


def _key(run: Run) -> str:
    parts = (
        code(),
        run.workload,
        own_workloads.digest(run.workload),
        json.dumps(asdict(run.options)),
        _text(run.load()),
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _kept(run: Run) -> Path:
    return _cache() / f"{_key(run)}.json"


def _remembered(run: Run) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(_kept(run).read_text())
        return found if found["fits"] is False or found["seconds"] >= 0 else None
    except (OSError, ValueError, KeyError, TypeError):  # none, or a file that something else spoiled
        return None


def _keep(run: Run, answer: dict[str, Any]) -> None:
    kept = _kept(run)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        unfinished = kept.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
        unfinished.write_text(json.dumps(answer))
        unfinished.replace(kept)
    except OSError as error:
        raise InvalidArgument(
            f"no measurement can be kept: {error}", remedy=f"name a folder for them in {CACHE_VARIABLE}"
        ) from None


def _measure(
    runs: list[Run], found: Callable[[Run, dict[str, Any]], None], running: list[subprocess.Popen[str]]
) -> None:
    """Measures runs on one chip in one process, which joins those running, and keeps each answer as it comes."""
    requests = [json.dumps({"workload": run.workload, "options": asdict(run.options)}) for run in runs]
    with tempfile.TemporaryDirectory() as folder:
        errors = Path(folder) / "errors.txt"
        with (
            errors.open("w") as told,
            subprocess.Popen(
                [sys.executable, "-m", "mtia_sim.study.measuring"],
                env={**os.environ, chips.VARIABLE: runs[0].write(Path(folder)), **runs[0].environment()},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=told,
                text=True,
            ) as process,
        ):
            assert process.stdin is not None and process.stdout is not None
            running.append(process)
            try:
                process.stdin.write("\n".join(requests))
                process.stdin.close()
                for run in runs:
                    line = process.stdout.readline()
                    if not line:
                        process.wait()
                        said = errors.read_text()[-2000:] or f"it ended with status {process.returncode}"
                        raise RuntimeError(f"{run.workload} on {run.chip} failed: {said}")
                    answer: dict[str, Any] = json.loads(line)
                    if "error" in answer:
                        problem, where, remedy = answer["error"]
                        raise InvalidArgument(problem, where or f"{run.workload} on {run.chip}", remedy)
                    _keep(run, answer)
                    found(run, answer)
                _end(process)
            except BaseException:
                process.kill()
                raise


def _end(process: subprocess.Popen[str]) -> None:
    try:
        process.wait(_AT_END)
    except subprocess.TimeoutExpired:  # a workload left a thread that goes on
        process.kill()


def measured(run: Run) -> dict[str, Any]:
    """`measuring.measure` of a run, remembered.

    Raises:
        InvalidChip, InvalidArgument: What the run names is not there.
        RuntimeError: The process failed; its last words.
    """
    return measured_all([run])[run]


def measured_anew(run: Run) -> dict[str, Any]:
    """`measured`, but of a run that is made now whatever is remembered."""
    answers: list[dict[str, Any]] = []
    _measure([run], lambda _, answer: answers.append(answer), [])
    return answers[0]


def measured_all(runs: Iterable[Run], tell: Callable[[int, int], None] | None = None) -> dict[Run, dict[str, Any]]:
    """All measurements, those of a chip and a plan in one process beside others. `tell`(done, all) after each.

    Raises:
        InvalidChip, InvalidArgument, RuntimeError: As `measured`; what was measured until then is remembered.
    """
    wanted = list(dict.fromkeys(runs))
    results: dict[Run, dict[str, Any]] = {}
    by_chip: dict[tuple[Any, ...], list[Run]] = {}
    for run in wanted:
        run.load()
        known = _remembered(run)
        if known is not None:
            results[run] = known
        else:
            key = (run.chip, run.changes, run.options.plan, *run.environment().items())
            by_chip.setdefault(key, []).append(run)

    def found(run: Run, answer: dict[str, Any]) -> None:
        results[run] = answer
        if tell is not None:
            tell(len(results), len(wanted))

    with ThreadPoolExecutor(max(1, min(len(by_chip), os.cpu_count() or 1))) as pool:
        running: list[subprocess.Popen[str]] = []
        futures = [pool.submit(_measure, group, found, running) for group in by_chip.values()]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in running:
                process.kill()
            raise
    return results
