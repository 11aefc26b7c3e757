"""Makes the extension known to PyTorch: the device's name, its module, lazy initialisation, and a clean exit."""

import atexit
import contextlib
import importlib.util
import sys
from types import ModuleType

from mtia_core import errors

NAME = "mtia_sim"


def is_built() -> bool:
    """Whether the extension is there; without it the package stays empty, so that the build itself can import torch."""
    return importlib.util.find_spec("mtia_sim._C") is not None


def register(torch: ModuleType, package: str) -> None:
    """Renames PrivateUse1 to mtia_sim and shows the package as torch.mtia_sim. Does nothing the second time."""
    from mtia_sim import (
        _C,
        batching,
        checkpoints,
        distributed,
        host_mathematics,
        initialisation,
        interchange,
        processes,
        random,
        triton_runtime,
    )

    if getattr(torch, NAME, None) is not None:
        return
    host_mathematics.settle()
    _C.set_error_classes(errors.CATEGORIES)
    _C.set_initialiser(initialisation._lazy_init)
    torch.utils.rename_privateuse1_backend(NAME)
    torch._register_device_module(NAME, sys.modules[package])
    torch.utils.generate_methods_for_privateuse1_backend(for_storage=True)
    _C.require_lazy_initialisation()
    triton_runtime.offer()
    triton_runtime.show_to_dynamo()
    for part in (batching, checkpoints, distributed, interchange, processes, random):
        part.register()
    atexit.register(_shut_down)


def _shut_down() -> None:
    from mtia_sim import _C, autograd_threads, checking

    with contextlib.suppress(RuntimeError):  # no memory, or a device that failed: whoever waits for it is told
        autograd_threads.settle()
    last = checking.wait_for_the_last_work()
    unseen = _C.shutdown()
    if unseen := last or unseen:
        print(f"mtia_sim: an error that no call waited for: {unseen}", file=sys.stderr)
    checking.finish()
