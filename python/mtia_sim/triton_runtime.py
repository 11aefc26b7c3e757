"""What the Triton backend needs of the device; offered to it at import, taken when triton itself is imported."""

import os
import sys
from collections.abc import Callable
from typing import Any

import torch

import triton_mtia_sim
from mtia_core import chips
from mtia_sim import _C


class TritonRuntime:
    """The Runtime protocol of triton_mtia_sim/driver.py."""

    # Bound directly: they run on every launch.
    current_device: Callable[[], int] = staticmethod(_C.current_device)
    current_stream: Callable[[int], int] = staticmethod(_C.current_stream_id)
    load_program: Callable[[bytes], Any] = staticmethod(_C.load_program)
    make_launcher: Callable[[str], Callable[..., None]] = staticmethod(_C.make_launcher)

    def chip_name(self) -> str:
        """What MTIA_SIM_CHIP says: a name or a path."""
        return os.environ.get(chips.VARIABLE) or chips.DEFAULT

    def device_interface(self) -> Any:
        """The module torch.mtia_sim."""
        return torch.get_device_module("mtia_sim")

    def torch_device(self, index: int) -> torch.device:
        """The torch.device of an index."""
        return torch.device("mtia_sim", index)


def offer() -> None:
    """Offers the runtime to the Triton backend without importing triton, which takes longer than all of mtia_sim."""
    runtime = TritonRuntime()
    triton_mtia_sim.offer_runtime(runtime)
    driver = sys.modules.get("triton_mtia_sim.driver")
    if driver is not None:
        driver.register_runtime(runtime)
