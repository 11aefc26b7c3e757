"""Timing mode: what a script would take on the chip, without its values (docs/timing_mode.md)."""

import os
from collections.abc import Callable
from typing import Any

from mtia_core.errors import InvalidArgument
from mtia_sim import _C
from mtia_sim._utils import _get_device_index
from mtia_sim.initialisation import _lazy_init
from mtia_sim.rejection import bound_samplers

MODES = ("functional", "timing")
_QUANTILES = 4096

if os.environ.get("MTIA_SIM_MODE") == "timing":
    bound_samplers()


def set_mode(mode: str, device: Any = None) -> None:
    """Chooses how devices that are not yet in use work: "functional" computes, "timing" only accounts for the time.

    Args:
        mode: "functional" or "timing"; MTIA_SIM_MODE is what holds where nobody calls this.
        device: A device or its index; None: all of them.

    Raises:
        InvalidArgument: There is no such mode, or the device is in use already and in the other mode.
    """
    _C.set_mode(mode, -1 if device is None else _get_device_index(device))
    if mode == "timing":
        bound_samplers()


def get_mode(device: Any = None) -> str:
    """The mode of a device: "functional" or "timing"."""
    return _C.mode(_get_device_index(device, optional=True))


def timing_values(
    indices: str | Callable[[float], float] = "uniform", mask: float = 0.5, seed: int = 0, device: Any = None
) -> None:
    """What stands in for values that a device in timing mode does not know, where its account depends on them.

    Args:
        indices: Law of unknown indices: "uniform"; "zipf:1.1", in which index i counted from 1 has a weight of
            i ** -1.1; or a function from a probability in [0, 1] to a place in [0, 1] that does not fall (the law's
            quantile function: `lambda p: p * p` prefers low indices).
        mask: Probability that an unknown condition of an element holds.
        seed: Other seeds give other draws.
        device: A device or its index; None: the current one.

    Raises:
        InvalidArgument: No such law, a probability outside of [0, 1], or a device in functional mode.
    """
    exponent, quantiles = 0.0, []
    if callable(indices):
        quantiles = [float(indices(step / _QUANTILES)) for step in range(_QUANTILES + 1)]
        if any(not 0 <= value <= 1 for value in quantiles) or quantiles != sorted(quantiles):
            raise InvalidArgument(
                "a quantile function that falls or leaves [0, 1]", remedy="return places from 0 to 1 that do not fall"
            )
    elif indices != "uniform":
        law, _, number = indices.partition(":")
        try:
            exponent = float(number)
        except ValueError:
            exponent = -1.0
        if law != "zipf" or not 0 < exponent < 100:
            raise InvalidArgument(
                f"there is no law {indices!r} of indices", remedy='give "uniform", "zipf:1.1" or a function'
            )
    if not 0 <= mask <= 1:
        raise InvalidArgument(f"mask={mask} is no probability", remedy="give a number from 0 to 1")
    _lazy_init()
    _C.set_stand_ins(_get_device_index(device, optional=True), exponent, quantiles, mask, seed)


def timing_summary(device: Any = None) -> dict[str, Any]:
    """What a device in timing mode met since reset_perf_counters; waits for it first.

    Returns:
        launches; computed (as in functional mode, because their values were known or decide what they do);
        remembered (costed before); multiplied (of which one of the PEs
        that do the same was walked); stood_in (whose account rests on stand-ins), and their stand_in_seconds and
        stand_in_joules; unknown_reads (copies to the host that gave zeros). All 0 for a functional device.
    """
    _lazy_init()
    return _C.timing_summary(_get_device_index(device, optional=True))
