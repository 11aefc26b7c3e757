"""Device indices as PyTorch's generic code asks for them (torch.serialization, torch.utils.checkpoint)."""

from typing import Any

import torch
from torch._utils import _get_device_index as _torch_get_device_index


def _get_device_index(device: Any, optional: bool = False, allow_cpu: bool = False) -> int:
    """Index of a torch.device, a string such as "mtia_sim:1", or an int; None is the current device if optional.

    Raises:
        ValueError: A device of another type, or None where it is not optional.
    """
    if isinstance(device, int):
        return device
    if isinstance(device, str):
        device = torch.device(device)
    if isinstance(device, torch.device):
        if allow_cpu and device.type == "cpu":
            return -1
        if device.type != "mtia_sim":
            raise ValueError(f"expected an mtia_sim device, but got {device}")
    return int(_torch_get_device_index(device, optional, allow_cpu))
