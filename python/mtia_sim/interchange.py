"""DLPack: torch exports and imports tensors of PrivateUse1 as kDLExtDev, but tells an exporter's device by comparing
its type's name with the literal "privateuse1", which no renamed device has (torch/_tensor.py, __dlpack_device__)."""

import enum

import torch
from torch.overrides import has_torch_function_unary
from torch.utils.dlpack import DLDeviceType

_of_other_devices = torch.Tensor.__dlpack_device__


def _dlpack_device(self: torch.Tensor) -> tuple[enum.IntEnum, int]:
    if not has_torch_function_unary(self) and self.device.type == "mtia_sim":
        return DLDeviceType.kDLExtDev, self.device.index
    return _of_other_devices(self)


def register() -> None:
    """Makes torch.from_dlpack(tensor) share the memory of an mtia_sim tensor."""
    torch.Tensor.__dlpack_device__ = _dlpack_device  # type: ignore[method-assign]
