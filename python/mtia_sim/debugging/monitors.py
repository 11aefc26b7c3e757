"""What runs a device's launches in its own way, one at a time: contexts nest, the innermost works."""

from types import TracebackType
from typing import Any, Self

from mtia_core.errors import InvalidArgument
from mtia_sim import _C
from mtia_sim.initialisation import _lazy_init

_stacks: dict[int, list[Any]] = {}


class Monitored:
    """A context whose monitor runs the device's launches; each launch is waited for where it is made."""

    def __init__(self, device: int | None) -> None:
        self._wanted_device = device
        self._device = 0
        self._monitor: Any = None

    def _make_monitor(self) -> Any:
        raise NotImplementedError

    def __enter__(self) -> Self:
        _lazy_init()
        if self._monitor in _stacks.get(self._device, ()):
            raise InvalidArgument("the context is open already", type(self).__name__, "make another one to nest it")
        self._device = _C.current_device() if self._wanted_device is None else self._wanted_device
        self._monitor = self._make_monitor()
        _stacks.setdefault(self._device, []).append(self._monitor)
        _C.set_monitor(self._device, self._monitor)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        stack = _stacks[self._device]
        stack.remove(self._monitor)
        _C.set_monitor(self._device, stack[-1] if stack else None)
