"""What torch asks of process groups in Python and gives to those of NCCL and Gloo alone.

That is: options that split_group copies, time estimates, monitored barriers.
"""

import functools
from datetime import timedelta
from typing import Any

import torch
from torch import distributed
from torch._C._distributed_c10d import Backend

from mtia_sim import _C


class GroupOptions(Backend.Options):  # type: ignore[misc]
    """Options of a group of this device, which can be copied."""

    def __deepcopy__(self, _seen: dict[int, Any]) -> "GroupOptions":
        copy = GroupOptions(self.backend)
        copy._timeout, copy.group_name = self._timeout, self.group_name
        copy.global_ranks_in_group = self.global_ranks_in_group
        return copy


def _options(group: Any) -> GroupOptions:
    options = GroupOptions(group.name())
    options._timeout = _C.group_timeout(group)
    return options


def _split_nothing(_group: Any, _device: torch.device) -> None:
    """A rank that is in no part of a split has nothing to do: the others meet through the store."""


def register() -> None:
    """Gives torch's class of backends what split_group, new_group and _time_estimator call."""
    for name, function in {
        "options": property(_options),
        "comm_split_count": lambda group: _C.group_splits(group),
        "perform_nocolor_split": _split_nothing,
        "_start_time_estimate": lambda group: _C.start_time_estimate(group),
        "_end_time_estimate": lambda group: _C.end_time_estimate(group),
    }.items():
        if not hasattr(Backend, name):
            setattr(Backend, name, function)


def monitored_barrier_for(backend: str) -> Any:
    """torch.distributed.monitored_barrier, which takes groups of that backend too."""
    barrier = distributed.monitored_barrier
    group_module = distributed.distributed_c10d

    @functools.wraps(barrier)
    def monitored_barrier(group: Any = None, timeout: timedelta | None = None, wait_all_ranks: bool = False) -> None:
        group = group or distributed.group.WORLD
        if group_module._rank_not_in_group(group) or distributed.get_backend(group) != backend:
            barrier(group, timeout, wait_all_ranks)
            return
        limit = group_module._get_default_timeout(group_module.Backend(backend)) if timeout is None else timeout
        if not isinstance(limit, timedelta):
            raise TypeError(f"monitored_barrier: the timeout is a datetime.timedelta, not {limit!r}")
        group.monitored_barrier(limit, wait_all_ranks=wait_all_ranks)

    return monitored_barrier
