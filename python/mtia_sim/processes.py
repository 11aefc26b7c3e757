"""Tensors between processes: each process emulates devices of its own, so that a tensor travels as a copy.

torch.multiprocessing pickles a tensor as its storage and a view of it. A storage on mtia_sim is pickled as one of
shared host memory, which torch knows how to send, and the device that it goes to. What a process is started with goes
as bytes: the file of shared memory would have to stay open until the process runs.
"""

import ctypes
from multiprocessing.context import get_spawning_popen
from multiprocessing.reduction import ForkingPickler
from typing import Any

import torch
from torch.multiprocessing.reductions import reduce_storage

_Reduced = tuple[Any, tuple[Any, ...]]


def _rebuild(host: torch.UntypedStorage, device: int) -> torch.UntypedStorage:
    return host.to(device=torch.device("mtia_sim", device))


def _rebuild_from_bytes(data: bytes, device: int) -> torch.UntypedStorage:
    host = torch.UntypedStorage(len(data))
    ctypes.memmove(host.data_ptr(), data, len(data))
    return _rebuild(host, device)


def _reduce(storage: torch.UntypedStorage) -> _Reduced:
    if storage.device.type != "mtia_sim":
        return reduce_storage(storage)
    host = storage.cpu()
    if get_spawning_popen() is not None:
        return _rebuild_from_bytes, (ctypes.string_at(host.data_ptr(), host.nbytes()), storage.device.index)
    return _rebuild, (host, storage.device.index)


def register() -> None:
    """Makes torch.multiprocessing and the workers of a DataLoader send mtia_sim tensors."""
    ForkingPickler.register(torch.UntypedStorage, _reduce)
