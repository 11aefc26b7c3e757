"""torch.distributed: the process group of the device, registered as backend "mccl" and taken where none is named."""

import functools
from typing import Any

import torch
from torch import distributed

from mtia_sim import _C

BACKEND = "mccl"


def _make(options: Any, _backend_options: Any = None) -> Any:
    """The backend for one group: Gloo carries the bytes between its ranks, and serves tensors in host memory."""

    def gloo(purpose: str) -> Any:
        store = distributed.distributed_c10d.PrefixStore(purpose, options.store)
        return distributed.ProcessGroupGloo(store, options.group_rank, options.group_size, timeout=options.timeout)

    ranks = list(options.global_ranks_in_group) or list(range(options.group_size))
    return _C.make_process_group(gloo("messages"), gloo("host"), ranks, options.group_id, options.timeout)


class _DeviceType(str):
    """The device's name for a check that takes letters alone for the name of a device without an index."""

    __slots__ = ()

    def isalpha(self) -> bool:
        return True


def _shim(name: str, replacement: Any) -> None:
    """Puts a function in the place of torch.distributed's, wherever that has been imported to by now."""
    for module in (distributed, distributed.distributed_c10d, distributed.device_mesh):
        if hasattr(module, name):
            setattr(module, name, replacement)


def register() -> None:
    """Names the backend to torch.distributed, where torch was built with it, and mends two functions there.

    torch.distributed.init_process_group without a backend makes one for the accelerator alone and takes Gloo for its
    type, which then is not found; init_device_mesh refuses names of devices with an underscore.
    """
    if not distributed.is_available() or not distributed.is_gloo_available():
        return
    device = torch._C._get_privateuse1_backend_name()
    distributed.Backend.register_backend(BACKEND, _make, extended_api=True, devices=[device, "cpu"])
    make_group, make_mesh = distributed.init_process_group, distributed.device_mesh.init_device_mesh

    @functools.wraps(make_group)
    def init_process_group(backend: str | None = None, *arguments: Any, **keywords: Any) -> None:
        # Imports torch.distributed.tensor, as every optimiser does and as `import torch` does not.
        from mtia_sim import distributed_attention

        distributed_attention.register()
        make_group(BACKEND if backend is None else backend, *arguments, **keywords)

    @functools.wraps(make_mesh)
    def init_device_mesh(device_type: str, *arguments: Any, **keywords: Any) -> Any:
        if device_type != device:
            return make_mesh(device_type, *arguments, **keywords)
        mesh = make_mesh(_DeviceType(device_type), *arguments, **keywords)
        mesh._device_type = device
        return mesh

    _shim("init_process_group", init_process_group)
    _shim("init_device_mesh", init_device_mesh)
