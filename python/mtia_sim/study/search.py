"""A search for chips: candidates are proposed, budgets refuse what cannot be, the rest is measured.

Of ten proposals one is drawn anywhere, four come from optuna's tree-structured Parzen estimator of the best point,
three lie beside the best point so far and two beside another of the front. Rounds have ten, each with its own seed, so
that a search depends on its seed alone: not on the number of processes, nor on whether it was interrupted. What was
measured is kept in a file; the search that goes on proposes the same again and finds it there.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mtia_core.errors import InvalidChip
from mtia_sim.study.axes import Axis
from mtia_sim.study.candidate import Base, Candidate, chip_text, derive
from mtia_sim.study.forked import Forked
from mtia_sim.study.kept import Kept, key_of
from mtia_sim.study.points import SLACK, Budgets, Point, best_of, front
from mtia_sim.study.proposer import Proposer

ROUND = 10
_MOVED = 0.35  # standard deviation of the logarithm of a field that a neighbour moves
_GIVEN_UP = 300  # proposals in a row of which none is new and within the budgets


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
        least_rate: Items a second that the best point has at least, where there is such a one.
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
        least_rate: float = 0.0,
    ) -> None:
        self._least_rate = least_rate
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
        problem = answer.get("failed") or answer.get("problem")
        if "error" in answer:
            problem = answer["error"][0]
        if problem is not None:
            self.problems[problem] = self.problems.get(problem, 0) + 1
            return None
        seconds, joules, items = answer["seconds"], answer["joules"], answer["items"]
        over = {
            "area": candidate.area - self._budgets.area * (1 + SLACK),
            "power": joules / seconds - self._budgets.watts * (1 + SLACK),
            "cost": candidate.dollars - self._budgets.dollars * (1 + SLACK),
            "links": self._link_bytes / seconds - candidate.chip.peer_link_bytes_per_second,
        }
        exceeded = tuple(name for name, excess in over.items() if excess > 0)
        return Point(candidate, items / seconds, joules / items, seconds, joules, exceeded)

    def run(self, count: int, tell: Callable[[int], None] | None = None) -> list[Point]:
        """Measures `count` candidates within the budgets of area and cost; fewer where the ranges hold no more."""
        proposer = Proposer(self._axes, self._least_rate)
        proposer.begin_with(
            {axis.field: axis.nearest(float(self._base.chip.values[axis.field])) for axis in self._axes}
        )
        measured: dict[str, Point | None] = {}
        stale, turn = 0, 0
        while len(measured) < count and stale < _GIVEN_UP:
            proposer.seed(self._seed * 1_000_003 + turn)
            turn += 1
            known = [point for point in measured.values() if point is not None]
            generator = random.Random(self._seed * 1_000_003 + turn)
            taken: dict[str, Candidate] = {}
            while len(taken) < min(ROUND, count - len(measured)) and stale < _GIVEN_UP:
                chosen = self._next(len(taken), proposer, known, generator)
                candidate = self._derived(chosen)
                stale += 1
                if candidate is None or self._excess(candidate) > 0:
                    self._refuse(proposer, chosen, candidate)
                elif key_of(chosen) not in measured and key_of(chosen) not in taken:
                    taken[key_of(chosen)] = candidate
                    stale = 0
            done = len(measured)
            counted = [sum(key in self._kept.found for key in taken)]

            def one(done: int = done, counted: list[int] = counted) -> None:
                counted[0] += 1
                if tell is not None:
                    tell(done + counted[0])

            answers = self.measure([candidate.chosen for candidate in taken.values()], one)
            for (key, candidate), answer in zip(taken.items(), answers, strict=True):
                point = measured[key] = self.point(candidate, answer)
                if point is None:
                    self._refuse(proposer, candidate.chosen, candidate)
                else:
                    proposer.learn(candidate.chosen, point, self._excesses(point))
        return [point for point in measured.values() if point is not None]

    def _next(
        self, place: int, proposer: Proposer, known: Sequence[Point], generator: random.Random
    ) -> dict[str, float]:
        """The candidate at a place of a round: anything, what the proposer makes of it, or beside a good one."""
        if place == 0 and known:
            return {axis.field: axis.drawn(generator) for axis in self._axes}
        if place < 5 or not known:
            return proposer.propose()
        best = best_of(known, self._least_rate) if place < 8 else generator.choice(front(known) or known)
        return self._beside(best or generator.choice(known), generator)

    def _beside(self, point: Point, generator: random.Random) -> dict[str, float]:
        """A point with one to three fields moved."""
        chosen = dict(point.candidate.chosen)
        for axis in generator.sample(self._axes, min(len(self._axes), generator.randint(1, 3))):
            chosen[axis.field] = axis.moved(chosen[axis.field], math.exp(generator.gauss(0, _MOVED)))
        return chosen

    def _derived(self, chosen: Mapping[str, float]) -> Candidate | None:
        try:
            return derive(self._base, chosen)
        except InvalidChip as error:
            self.problems[str(error)] = self.problems.get(str(error), 0) + 1
            return None

    def _excess(self, candidate: Candidate) -> float:
        return max(candidate.area / self._budgets.area, candidate.dollars / self._budgets.dollars) - 1 - SLACK

    def _refuse(self, proposer: Proposer, chosen: Mapping[str, float], candidate: Candidate | None) -> None:
        """Tells the search that this will not do, and by how much."""
        excess = 0.0 if candidate is None else self._excess(candidate)
        proposer.learn(chosen, None, {"built": excess if excess > 0 else 1.0})

    def _excesses(self, point: Point) -> dict[str, float]:
        candidate, budgets = point.candidate, self._budgets
        carried = candidate.chip.peer_link_bytes_per_second * point.seconds
        return {
            "built": self._excess(candidate),
            "power": point.watts / budgets.watts - 1 - SLACK,
            "links": self._link_bytes / carried - 1 if self._link_bytes else -1.0,
        }
