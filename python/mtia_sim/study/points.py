"""Measured candidates: which keep within their budgets, which no other beats, and which is best."""

from collections.abc import Sequence
from dataclasses import dataclass

from mtia_sim.study.candidate import Candidate

SLACK = 1e-9


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


def best_of(points: Sequence[Point], least_rate: float) -> Point | None:
    """The least energy an item of those with at least this rate, or of all where there is none."""
    allowed = [point for point in points if not point.over]
    fast = [point for point in allowed if point.rate >= least_rate * (1 - SLACK)] or allowed
    return min(fast, key=lambda point: (point.joules, point.candidate.area), default=None)


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
