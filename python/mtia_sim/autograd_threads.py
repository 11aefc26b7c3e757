"""Lets autograd's threads of the devices finish before the interpreter does."""

import contextlib
from pathlib import Path

import torch

from mtia_sim import _C, initialisation

_kept: list[torch.Tensor] = []


def are_running() -> bool:
    """Whether a backward pass started autograd's threads, which stay then."""
    for name in Path("/proc/self/task").glob("*/comm"):
        with contextlib.suppress(OSError):  # a thread that ended meanwhile
            if name.read_text().startswith("pt_autograd"):
                return True
    return False


def settle() -> None:
    """Waits until the thread that runs each device's backward passes has dropped what the last one left.

    A backward pass returns while its thread still releases the graph. Where that drops C++'s last reference to a tensor
    that Python has seen, the thread needs the interpreter's lock, and Python ends a thread that asks for it after the
    interpreter has gone: in C++ that is "terminate called without an active exception" and the exit status of an abort
    (1 of 20 short processes). A pass of one view, which launches nothing, waits its turn behind what is left. It
    accumulates: of a pass that returns gradients the thread may be the last to release these.
    """
    if not initialisation.is_initialized() or not are_running():
        return
    with torch.inference_mode(False), torch.enable_grad():
        for device in range(_C.device_count()):
            leaf = torch.empty(1, 1, device=f"mtia_sim:{device}", requires_grad=True)
            gradient = torch.empty(1, device=leaf.device)
            view = leaf.view(1)
            _kept.extend((leaf, gradient, view))
            # The engine itself: torch.autograd.backward imports symbolic shapes first, half a second.
            run = torch.autograd.Variable._execution_engine.run_backward
            run((view,), (gradient,), False, False, (), False, accumulate_grad=True)
