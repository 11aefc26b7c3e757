"""Streams and events. They are torch.Stream and torch.Event; an event with enable_timing measures chip time."""

from typing import Any

import torch

from mtia_sim._utils import _get_device_index
from mtia_sim.devices import device as device_context

Event = torch.Event
Stream = torch.Stream


def current_stream(device: Any = None) -> torch.Stream:
    """The stream on which this thread's work for a device goes."""
    return torch._C._accelerator_getStream(_get_device_index(device, optional=True))


def default_stream(device: Any = None) -> torch.Stream:
    """The stream that is current unless another was set."""
    return torch.Stream(
        stream_id=0,
        device_index=_get_device_index(device, optional=True),
        device_type=torch._C._autograd.DeviceType.PrivateUse1.value,
    )


def set_stream(stream: torch.Stream | None) -> None:
    """Makes a stream the current one of its device, and its device the current one; None changes nothing."""
    if stream is not None:
        torch._C._accelerator_setStream(stream)


class StreamContext:
    """Context manager that makes a stream the current one; None changes nothing."""

    def __init__(self, stream: torch.Stream | None) -> None:
        self.stream = stream
        self._device: device_context | None = None
        self._former: torch.Stream | None = None

    def __enter__(self) -> torch.Stream | None:
        if self.stream is not None:
            self._device = device_context(self.stream.device)
            self._device.__enter__()
            self._former = current_stream(self.stream.device)
            set_stream(self.stream)
        return self.stream

    def __exit__(self, *error: object) -> None:
        if self._device is not None:
            set_stream(self._former)
            self._device.__exit__(*error)


def stream(stream: torch.Stream | None) -> StreamContext:
    """Context manager that makes a stream the current one."""
    return StreamContext(stream)
