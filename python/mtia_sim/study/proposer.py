"""optuna's part in a search."""

import importlib.util
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from mtia_core.errors import InvalidArgument
from mtia_sim.study.axes import Axis
from mtia_sim.study.kept import key_of
from mtia_sim.study.points import SLACK, Point

_STARTUP = 40  # drawn anywhere before what was measured counts
_DRAWS = 128
_WORST = 1e3  # of what was not measured: it breaks a constraint anyway


def require_optuna() -> None:
    """Raises InvalidArgument where the package is missing."""
    if importlib.util.find_spec("optuna") is None:
        raise InvalidArgument("mtia_sim design needs optuna", remedy="pip install optuna")


class Proposer:
    """optuna's study of the least energy an item at a rate and within the budgets; learns of all candidates."""

    def __init__(self, axes: Sequence[Axis], least_rate: float) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._axes, self._least_rate = axes, least_rate
        self._study = optuna.create_study(direction="minimize")
        self._asked: dict[str, Any] = {}

    def seed(self, seed: int) -> None:
        """A sampler anew, so that what it draws depends on this and on what was learned."""
        import optuna

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study.sampler = optuna.samplers.TPESampler(
                n_startup_trials=_STARTUP, n_ei_candidates=_DRAWS, multivariate=True, seed=seed % 2**32
            )

    def begin_with(self, chosen: Mapping[str, float]) -> None:
        """Proposes this first."""
        self._study.enqueue_trial(self._parameters(chosen))

    def propose(self) -> dict[str, float]:
        """A choice of each axis."""
        trial = self._study.ask()
        chosen = {axis.field: _suggest(trial, axis) for axis in self._axes}
        self._asked.setdefault(key_of(chosen), trial)
        return chosen

    def learn(self, chosen: Mapping[str, float], point: Point | None, excesses: Mapping[str, float]) -> None:
        """What came of a choice; no point where it was not measured. Excesses above 0 are not allowed."""
        trial = self._asked.pop(key_of(chosen), None)
        if trial is None:
            self._study.enqueue_trial(self._parameters(chosen))
            trial = self._study.ask()
            for axis in self._axes:
                _suggest(trial, axis)
        for name, excess in excesses.items():
            trial.set_constraint(name, excess)
        if point is not None:
            trial.set_constraint("slower", self._least_rate / point.rate - 1 - SLACK)
        self._study.tell(trial, _WORST if point is None else math.log(point.joules))

    def _parameters(self, chosen: Mapping[str, float]) -> dict[str, float]:
        return {
            axis.field: round(chosen[axis.field] / axis.step) if axis.step else chosen[axis.field]
            for axis in self._axes
            if axis.step or axis.low < axis.high
        }


def _suggest(trial: Any, axis: Axis) -> float:
    if not axis.step:
        if axis.low == axis.high:
            return axis.low
        value = trial.suggest_float(axis.field, axis.low, axis.high, log=True)
        return min(max(float(f"{value:.3g}"), axis.low), axis.high)
    return float(trial.suggest_int(axis.field, axis.least, axis.most) * axis.step)
