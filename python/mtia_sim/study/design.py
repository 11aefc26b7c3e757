"""A chip fitted to a workload: the search, its best point, what a tenth more of each field buys, and the rerun."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mtia_core import chips
from mtia_core.errors import InvalidArgument
from mtia_sim.study import own_workloads, runs
from mtia_sim.study.axes import Axis
from mtia_sim.study.candidate import Base, Candidate, chip_text, derive
from mtia_sim.study.forked import Forked
from mtia_sim.study.kept import Kept, key_of
from mtia_sim.study.llama import SIZES
from mtia_sim.study.points import Budgets, Point, best_of, front
from mtia_sim.study.search import Search
from mtia_sim.study.workloads import DTYPES, Options

GIB = 2**30
STUDY_FILE = "study.jsonl"
_TENTH = 1.1


@dataclass(frozen=True)
class Question:
    """What is asked of a design; None: the base's, by the model and as measured."""

    workload: str
    options: Options
    axes: tuple[Axis, ...]
    area: float | None = None
    watts: float | None = None
    dollars: float | None = None
    candidates: int = 200
    seed: int = 0


@dataclass(frozen=True)
class Change:
    """The best point with one field moved; None where its workload did not run."""

    field: str
    value: float
    factor: float
    point: Point | None


@dataclass(frozen=True)
class Result:
    """All that a design found; `best` is None where no candidate is within the budgets."""

    described: str
    unit: str
    base: Point
    budgets: Budgets
    points: list[Point]
    front: list[Point]
    best: Point | None
    changes: list[Change]
    repeated: tuple[float, float] | None  # seconds and joules of the rerun
    problems: Mapping[str, int]
    found_before: int


def link_bytes(workload: str, options: Options) -> float:
    """What a chip's links carry in a step of training with sharded weights: they are gathered twice, gradients once.

    0 for other workloads: one chip serves alone.
    """
    name, _, kind = workload.rpartition("-")
    if kind != "train" or name not in SIZES:
        return 0.0
    size = SIZES[name]
    layers = options.layers or size.layers
    whole = size.matrix_parameters + size.vocabulary * size.hidden
    layer = (size.matrix_parameters - size.vocabulary * size.hidden) / size.layers
    parameters = whole - layer * (size.layers - layers)
    return 3.0 * parameters * DTYPES[options.dtype].itemsize


class Design:
    """One design; `run` may be interrupted and asked again with the same folder.

    Args:
        base: The chip that candidates are derived from.
        question: What is asked.
        folder: Where measurements are kept.
        processes: That measure side by side; None: one a processor.

    Raises:
        InvalidArgument: The budgets admit no chip, or the folder keeps another question.
    """

    def __init__(self, base: Base, question: Question, folder: Path, processes: int | None = None) -> None:
        self._base, self._question, self._folder = base, question, folder
        asked = {key: value for key, value in asdict(question).items() if key != "candidates"}
        asked["axes"] = [asdict(axis) for axis in question.axes]
        asked["base"] = base.chip.serialise()
        asked["silicon"] = asdict(base.silicon)
        asked["code of mtia_sim"] = runs.code()
        asked["script"] = own_workloads.digest(question.workload)
        self._check()
        self._kept = Kept(folder / STUDY_FILE, _plain(asked))
        self.found_before = len(self._kept.found)
        self._processes = processes

    def run(self, tell: Callable[[int, int], None] | None = None) -> Result:
        """Searches, measures, reruns.

        Raises:
            InvalidArgument: The workload admits no chip.
            RuntimeError: A process that measures failed.
        """
        with Forked(self._question.workload, self._question.options, self._processes) as self._forked:
            return self._run(tell)

    def _run(self, tell: Callable[[int, int], None] | None) -> Result:
        question = self._question
        area, dollars = self._area_and_dollars()
        origin = self._measured_base()
        budgets = Budgets(area, question.watts if question.watts is not None else origin.watts, dollars)
        search = self._search(budgets, origin.rate)
        points = search.run(question.candidates, lambda done: tell(done, question.candidates) if tell else None)
        if not points:
            problem, _ = max(
                search.problems.items(), key=lambda item: item[1], default=("none is within the budgets", 0)
            )
            raise InvalidArgument(
                f"no candidate runs {question.workload}: {problem}", remedy="widen --vary, or take a smaller workload"
            )
        best = best_of(points, origin.rate)
        answer = self._kept.found[key_of({})]
        return Result(
            described=answer["described"],
            unit=answer["unit"],
            base=origin,
            budgets=budgets,
            points=points,
            front=front(points),
            best=best,
            changes=self._changes(search, best) if best else [],
            repeated=self._rerun(best.candidate) if best else None,
            problems=search.problems,
            found_before=self.found_before,
        )

    def _search(self, budgets: Budgets, least_rate: float = 0.0) -> Search:
        question = self._question
        moves_links = any(axis.field == "peer_link_bytes_per_second" for axis in question.axes)
        carried = link_bytes(question.workload, question.options) if moves_links else 0.0
        return Search(self._base, question.axes, budgets, self._forked, self._kept, carried, question.seed, least_rate)

    def _measured_base(self) -> Point:
        """The base itself, in room enough: it may not hold the workload that candidates are to hold."""
        search = self._search(Budgets(float("inf"), float("inf"), float("inf")))
        (answer,) = search.measure([{}])
        if "error" in answer:
            raise InvalidArgument(*answer["error"])
        point = search.point(derive(self._base, {}), answer)
        if point is None:
            raise InvalidArgument(
                f"{self._base.chip.name} does not run {self._question.workload}: {next(iter(search.problems))}",
                remedy="choose another --base, or a smaller workload (--layers, --batch, --seq)",
            )
        return point

    def _area_and_dollars(self) -> tuple[float, float]:
        asked, base = self._question, self._base
        return (
            asked.area if asked.area is not None else base.area,
            asked.dollars if asked.dollars is not None else base.dollars,
        )

    def _check(self) -> None:
        """Refuses budgets that the smallest chip of the ranges exceeds."""
        area, dollars = self._area_and_dollars()
        # The network is as wide as its bandwidth over the clock: the fastest clock makes the smallest chip.
        least = {
            axis.field: axis.nearest(axis.high if axis.field == "clock_hz" else axis.low)
            for axis in self._question.axes
        }
        smallest = derive(self._base, least)
        slowest = derive(self._base, {axis.field: axis.nearest(axis.low) for axis in self._question.axes})
        for what, unit, has, allowed in (
            ("area", "mm2", smallest.area, area),
            ("cost", "dollars", smallest.dollars, dollars),
            ("power", "W idle", slowest.chip.idle_watts, self._question.watts),
        ):
            if allowed is not None and has > allowed:
                raise InvalidArgument(
                    f"--{what} {allowed:g} is impossible: the smallest chip of these ranges takes {has:.0f} {unit}",
                    remedy=f"give --{what} of more than that, or lower ends of --vary",
                )

    def _changes(self, search: Search, best: Point) -> list[Change]:
        """The best point with each field about a tenth up and down."""
        moved = []
        limits = {field.name: field for field in chips.fields()}
        for axis in self._question.axes:
            for factor in (_TENTH, 1 / _TENTH):
                now = float(best.candidate.chip.values[axis.field])
                value = axis.neighbour(now, factor)
                if limits[axis.field].minimum <= value <= limits[axis.field].maximum:
                    chosen = {**best.candidate.chosen, axis.field: value}
                    moved.append((axis.field, value, value / now, derive(self._base, chosen)))
        answers = search.measure([candidate.chosen for *_, candidate in moved])
        return [
            Change(field, value, factor, search.point(candidate, answer))
            for (field, value, factor, candidate), answer in zip(moved, answers, strict=True)
        ]

    def _rerun(self, candidate: Candidate) -> tuple[float, float]:
        """Seconds and joules of the chip's file in a process of its own, which remembers nothing."""
        path = self._folder / "best.toml"
        path.write_text(chip_text(candidate, "best"))
        run = runs.Run(self._question.workload, str(path), self._question.options)
        answer = runs.measured_anew(run)
        return float(answer["seconds"]), float(answer["joules"])


def _plain(asked: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON gives it back."""
    plain: dict[str, Any] = json.loads(json.dumps(asked))
    return plain
