"""What the Triton backend needs of the device; offered to it at import, taken when triton itself is imported."""

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

import torch
import torch.utils._triton as detection

import triton_mtia_sim
from mtia_core import chips
from mtia_core.errors import InvalidArgument
from mtia_sim import _C

OUT_OF_BOUNDS = "MTIA_SIM_OUT_OF_BOUNDS"


class TritonRuntime:
    """The Runtime protocol of triton_mtia_sim/driver.py."""

    # Bound directly: they run on every launch.
    current_device: Callable[[], int] = staticmethod(_C.current_device)
    current_stream: Callable[[int], int] = staticmethod(_C.current_stream_id)
    make_launcher: Callable[[str], Callable[..., None]] = staticmethod(_C.make_launcher)

    def load_program(self, program: bytes) -> Any:
        """A kernel of the user's, which may leave its tensors where MTIA_SIM_OUT_OF_BOUNDS says so.

        Raises:
            InvalidArgument: That variable is neither "strict" nor "lenient".
        """
        wanted = os.environ.get(OUT_OF_BOUNDS) or "strict"
        if wanted not in ("strict", "lenient"):
            raise InvalidArgument(f"{OUT_OF_BOUNDS} is {wanted!r}", remedy="set it to strict or lenient")
        return _C.load_program(program, wanted == "lenient")

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


def show_to_dynamo() -> None:
    """Makes torch's has_triton true: it asks a closed list of devices, and where none of them has Triton, dynamo traces
    into Triton's launcher instead of keeping a kernel that a compiled function calls whole."""
    of_other_devices = detection.has_triton

    @functools.cache
    def has_triton() -> bool:
        return of_other_devices() or (detection.has_triton_package() and _backend_is_there())

    detection.has_triton = has_triton


def _backend_is_there() -> bool:
    from torch._inductor import config
    from triton.backends import backends

    return "mtia_sim" in backends and not config.triton_disable_device_detection
