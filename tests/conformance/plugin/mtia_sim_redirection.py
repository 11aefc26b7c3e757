"""Literal device names in somebody else's torch calls come to mean another device."""

from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_IS_CUDA = torch.Tensor.is_cuda.__get__  # type: ignore[attr-defined]


class Redirection(TorchFunctionMode):
    """Every torch call that names one of the devices ``redirect`` gets the suite's device instead."""

    def __init__(self, redirect: list[str], device: str) -> None:
        super().__init__()
        self.redirect = set(redirect)
        self.device = device

    def _changed(self, value: Any) -> Any:
        if isinstance(value, torch.device):
            return torch.device(self.device, value.index) if value.type in self.redirect else value
        if isinstance(value, str) and value.split(":")[0] in self.redirect:
            return ":".join([self.device, *value.split(":")[1:]])
        return value

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if "cuda" in self.redirect and function is torch.Tensor.cuda:
            place = kwargs.get("device", args[1] if len(args) > 1 else None)
            if isinstance(place, int):
                place = torch.device(self.device, place)
            return args[0].to(self.device if place is None else self._changed(place))
        if "cuda" in self.redirect and function == _IS_CUDA:
            return args[0].device.type == self.device
        if "device" in kwargs:
            kwargs = {**kwargs, "device": self._changed(kwargs["device"])}
        if function is torch.Tensor.to:
            args = tuple(self._changed(value) for value in args)
        return function(*args, **kwargs)

    def replace_classes(self) -> None:
        """What a function mode does not see: classes that are called with a device."""
        mode = self

        class Generator(torch.Generator):
            def __new__(cls, device: Any = "cpu") -> "Generator":
                return super().__new__(cls, mode._changed(device))

        class Autocast(torch.autocast):
            def __init__(self, device_type: Any, *args: Any, **kwargs: Any) -> None:
                super().__init__(mode._changed(device_type), *args, **kwargs)

        torch.Generator = Generator  # type: ignore[misc]
        torch.autocast = torch.amp.autocast = Autocast  # type: ignore[misc, assignment]
