"""A search for chips: optuna proposes, budgets refuse what cannot be, the rest is measured.

Candidates are proposed in rounds of a fixed size by a sampler that is seeded anew in each, so that a search depends
on its seed alone: not on the number of processes, nor on whether it was interrupted. What was measured is kept in a
file; the search that goes on proposes the same again and finds it there.
"""

import importlib.util
import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtia_core.errors import InvalidArgument, InvalidChip
from mtia_sim.study.axes import Axis
from mtia_sim.study.candidate import Base, Candidate, chip_text, derive
from mtia_sim.study.forked import Forked

ROUND = 10
_STARTUP = 30
_GIVEN_UP = 300  # proposals in a row of which none is new and within the budgets
_SLACK = 1e-9


@dataclass(frozen=True)
class Budgets:
    """What a candidate may take at most."""

    area: float
    watts: float
    dollars: float


@dataclass(frozen=True)
class Point:
    """A measured candidate; rates in items a second, energies in joules an item. `over` names budgets exceeded."""

    candidate: Candidate
    rate: float
    joules: float
    seconds: float
    total_joules: float
    over: tuple[str, ...]

    @property
    def watts(self) -> float:
        """Mean power."""
        return self.rate * self.joules


class Kept:
    """Measurements in a file, one a line, under a first line that says what was asked.

    Raises:
        InvalidArgument: The file answers another question.
    """

    def __init__(self, path: Path, question: Mapping[str, Any]) -> None:
        self._path, self.found = path, {}
        header = json.dumps({"question": question}, sort_keys=True)
        lines = path.read_text().splitlines() if path.exists() else []
        if lines:
            self._check(lines[0], question)
        for line in lines[1:]:
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # the line at which a run was killed
            self.found[entry["chosen"]] = entry["answer"]
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = [json.dumps({"chosen": key, "answer": answer}) for key, answer in self.found.items()]
        path.write_text("\n".join([header, *whole]) + "\n")

    found: dict[str, dict[str, Any]]

    def _check(self, line: str, question: Mapping[str, Any]) -> None:
        try:
            asked = json.loads(line)["question"]
        except (ValueError, KeyError, TypeError):
            asked = {}
        differing = sorted(key for key in {*asked, *question} if asked.get(key) != question.get(key))
        if differing:
            raise InvalidArgument(
                f"{self._path} keeps a study with another {', '.join(differing)}",
                remedy="ask the same to go on, or give another --out",
            )

    def add(self, key: str, answer: dict[str, Any]) -> None:
        """Keeps an answer, at once."""
        self.found[key] = answer
        with self._path.open("a") as file:
            file.write(json.dumps({"chosen": key, "answer": answer}) + "\n")


def key_of(chosen: Mapping[str, float]) -> str:
    """A candidate's name in the file."""
    return json.dumps(dict(sorted(chosen.items())))


def require_optuna() -> None:
    """Raises InvalidArgument where the package is missing."""
    if importlib.util.find_spec("optuna") is None:
        raise InvalidArgument("mtia_sim design needs optuna", remedy="pip install optuna")


class Search:
    """Proposes and measures candidates.

    Args:
        base: What they are derived from.
        axes: What they may choose.
        budgets: What they may take.
        forked: Measures.
        kept: What was measured before, and is.
        link_bytes: What the links have to carry within a step.
        seed: Of the proposals.
    """

    def __init__(
        self,
        base: Base,
        axes: Sequence[Axis],
        budgets: Budgets,
        forked: Forked,
        kept: Kept,
        link_bytes: float = 0.0,
        seed: int = 0,
    ) -> None:
        self._base, self._axes, self._budgets, self._forked = base, tuple(axes), budgets, forked
        self._kept, self._link_bytes, self._seed = kept, link_bytes, seed
        self.problems: dict[str, int] = {}

    def measure(
        self, chosen: Sequence[Mapping[str, float]], tell: Callable[[], None] | None = None
    ) -> list[dict[str, Any]]:
        """Answers for candidates, from the file or measured."""
        wanted = {key_of(each): each for each in chosen if key_of(each) not in self._kept.found}
        texts = [chip_text(derive(self._base, each), "candidate") for each in wanted.values()]
        keys = list(wanted)

        def found(place: int, answer: dict[str, Any]) -> None:
            self._kept.add(keys[place], answer)
            if tell is not None:
                tell()

        self._forked.measure(texts, found)
        return [self._kept.found[key_of(each)] for each in chosen]

    def point(self, candidate: Candidate, answer: Mapping[str, Any]) -> Point | None:
        """A measured candidate; None where its workload did not run, which `problems` counts."""
        problem = answer.get("error") or answer.get("failed") or (None if answer.get("fits") else answer["problem"])
        if problem is not None:
            self.problems[problem] = self.problems.get(problem, 0) + 1
            return None
        seconds, joules, items = answer["seconds"], answer["joules"], answer["items"]
        over = {
            "area": candidate.area - self._budgets.area * (1 + _SLACK),
            "power": joules / seconds - self._budgets.watts * (1 + _SLACK),
            "cost": candidate.dollars - self._budgets.dollars * (1 + _SLACK),
            "links": self._link_bytes / seconds - candidate.chip.peer_link_bytes_per_second,
        }
        exceeded = tuple(name for name, excess in over.items() if excess > 0)
        return Point(candidate, items / seconds, joules / items, seconds, joules, exceeded)

    def run(self, count: int, tell: Callable[[int], None] | None = None) -> list[Point]:
        """Measures `count` candidates within the budgets of area and cost; fewer where the ranges hold no more.

        Raises:
            InvalidArgument: No candidate is within these budgets.
        """
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(directions=["maximize", "minimize", "minimize"])
        study.enqueue_trial({axis.field: self._proposed_of(axis) for axis in self._axes})
        measured: dict[str, Point | None] = {}
        stale = 0
        for turn in range(count):
            if len(measured) >= count or stale >= _GIVEN_UP:
                break
            study.sampler = self._sampler(turn)
            taken: list[tuple[Any, Candidate]] = []
            while len(taken) < min(ROUND, count - len(measured)) and stale < _GIVEN_UP:
                trial = study.ask()
                chosen = {axis.field: _suggest(trial, axis) for axis in self._axes}
                key = key_of(chosen)
                if key in measured or any(key == key_of(other.chosen) for _, other in taken):
                    stale += 1
                    study.tell(trial, state=optuna.trial.TrialState.FAIL)
                    continue
                candidate = self._derived(chosen)
                if candidate is None or self._excess(candidate) > 0:
                    stale += 1
                    self._refuse(study, trial, candidate)
                    continue
                stale = 0
                taken.append((trial, candidate))
            done = len(measured)
            counted = [sum(key_of(candidate.chosen) in self._kept.found for _, candidate in taken)]

            def one(done: int = done, counted: list[int] = counted) -> None:
                counted[0] += 1
                if tell is not None:
                    tell(done + counted[0])

            answers = self.measure([candidate.chosen for _, candidate in taken], one)
            for (trial, candidate), answer in zip(taken, answers, strict=True):
                point = measured[key_of(candidate.chosen)] = self.point(candidate, answer)
                if point is None:
                    self._refuse(study, trial, candidate)
                else:
                    self._accept(study, trial, point)
        return [point for point in measured.values() if point is not None]

    def _proposed_of(self, axis: Axis) -> float:
        value = axis.nearest(float(self._base.chip.values[axis.field]))
        return round(value / axis.step) if axis.step else value

    def _sampler(self, turn: int) -> Any:
        import optuna

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.TPESampler(
                n_startup_trials=_STARTUP,
                multivariate=True,
                seed=self._seed * 1_000_003 + turn,
            )

    def _derived(self, chosen: Mapping[str, float]) -> Candidate | None:
        try:
            return derive(self._base, chosen)
        except InvalidChip as error:
            self.problems[str(error)] = self.problems.get(str(error), 0) + 1
            return None

    def _excess(self, candidate: Candidate) -> float:
        return max(candidate.area / self._budgets.area, candidate.dollars / self._budgets.dollars) - 1 - _SLACK

    def _refuse(self, study: Any, trial: Any, candidate: Candidate | None) -> None:
        """Tells the search that this will not do, and by how much."""
        excess = 0.0 if candidate is None else self._excess(candidate)
        trial.set_constraint("built", excess if excess > 0 else 1.0)
        study.tell(trial, [0.0, 10.0, 10.0])

    def _accept(self, study: Any, trial: Any, point: Point) -> None:
        candidate, budgets = point.candidate, self._budgets
        carried = candidate.chip.peer_link_bytes_per_second * point.seconds
        trial.set_constraint("built", self._excess(candidate))
        trial.set_constraint("power", point.watts / budgets.watts - 1 - _SLACK)
        trial.set_constraint("links", self._link_bytes / carried - 1 if self._link_bytes else -1.0)
        study.tell(trial, [math.log(point.rate), math.log(point.joules), candidate.area / self._budgets.area])


def _suggest(trial: Any, axis: Axis) -> float:
    if not axis.step:
        if axis.low == axis.high:
            return axis.low
        value = trial.suggest_float(axis.field, axis.low, axis.high, log=True)
        return min(max(float(f"{value:.3g}"), axis.low), axis.high)
    return float(trial.suggest_int(axis.field, axis.least, axis.most) * axis.step)


def front(points: Sequence[Point]) -> list[Point]:
    """Points within the budgets that no other beats in rate, energy and area at once; fastest first."""
    allowed = [point for point in points if not point.over]

    def beaten(point: Point) -> bool:
        mine = (-point.rate, point.joules, point.candidate.area)
        for other in allowed:
            theirs = (-other.rate, other.joules, other.candidate.area)
            if theirs != mine and all(their <= my for their, my in zip(theirs, mine, strict=True)):
                return True
        return False

    return sorted((point for point in allowed if not beaten(point)), key=lambda point: -point.rate)
