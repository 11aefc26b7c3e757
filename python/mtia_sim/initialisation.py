"""Lazy initialisation: the chip is read and the operators' tables are loaded when the device is first used."""

import importlib
import importlib.util
import threading
from collections.abc import Callable

from mtia_core import chips
from mtia_core.errors import InvalidArgument
from mtia_sim import _C, status

_lock = threading.RLock()
_initialised = False
_initialising = False

# Loaded on first use, because they import triton: each has a function `initialise(extension)`.
_PARTS = ("mtia_sim.operators",)
_after: list[Callable[[], None]] = []


def after_first_use(action: Callable[[], None]) -> None:
    """Registers what is to be done once, when the device has been initialised."""
    _after.append(action)


def init() -> None:
    """Initialises the device now instead of at its first use.

    Raises:
        InvalidChip: MTIA_SIM_CHIP names no chip, or a file with a wrong field.
        InvalidArgument: MTIA_SIM_DEVICE_COUNT is wrong, or this is a forked child of a process that uses the device.
    """
    _lazy_init()


def is_initialized() -> bool:
    """Whether the device was initialised in this process."""
    return _initialised and not _is_in_bad_fork()


def _is_in_bad_fork() -> bool:
    return bool(_C.is_in_bad_fork())


def _lazy_init() -> None:
    global _initialised, _initialising
    if is_initialized():
        return
    with _lock:
        if is_initialized() or _initialising:
            return
        if _is_in_bad_fork():
            raise InvalidArgument(
                "mtia_sim cannot be used in this forked process: its parent already uses it",
                remedy="start it with the 'spawn' method (torch.multiprocessing.set_start_method), "
                "or make CPU tensors there",
            )
        _initialising = True
        try:
            _configure()
            status.serve()
            for name in _PARTS:
                if importlib.util.find_spec(name) is not None:
                    importlib.import_module(name).initialise(_C)
            _initialised = True
        finally:
            _initialising = False
    for action in _after:
        action()


def _configure() -> None:
    chip = chips.load()
    _C.configure(chip.serialise(), str(chip.path), _C.device_count_from_environment())
    _C.set_cluster(chip.serialise_cluster())
