"""Tells the runtime which operator and module submits what, forward and backward."""

import dataclasses
import threading
from types import TracebackType
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from mtia_sim import _C

_NOWHERE = "(outside of modules)"


@dataclasses.dataclass(frozen=True)
class Purpose:
    """An operator as torch names it, and the module whose forward called it; of a gradient, that of its forward."""

    operator: str
    module: str


class Purposes:
    """While it is entered, numbers the pairs of operator and module for `_C.KernelTotals`."""

    def __init__(self) -> None:
        self._numbers: dict[Purpose, int] = {}
        self._listed: list[Purpose] = [Purpose("(no operator)", _NOWHERE)]
        self._names: dict[int, str] = {}
        self._roots: list[nn.Module] = []  # keeps the ids in _names valid
        self._stack: list[str] = []
        self._module_of_node: dict[int, str] = {}  # by sequence number of the autograd node
        self._lock = threading.Lock()
        self._mode = _Operators(self)
        self._hooks: list[Any] = []

    def of(self, number: int) -> Purpose:
        return self._listed[number]

    def number(self, operator: str) -> int:
        purpose = Purpose(operator, self._present_module())
        with self._lock:
            if purpose not in self._numbers:
                self._numbers[purpose] = len(self._listed)
                self._listed.append(purpose)
            return self._numbers[purpose]

    def _present_module(self) -> str:
        node = torch._C._current_autograd_node()  # type: ignore[attr-defined]
        if node is not None:  # in the backward pass
            return self._module_of_node.get(node._sequence_nr(), _NOWHERE)
        module = self._stack[-1] if self._stack else _NOWHERE
        if torch.is_grad_enabled():
            # The node of the operator that runs now was made last.
            self._module_of_node[torch._C._autograd._get_sequence_nr() - 1] = module  # type: ignore[attr-defined]
        return module

    def _entered(self, module: nn.Module, _inputs: Any) -> None:
        if not self._stack:
            self._names |= {id(inner): name for name, inner in module.named_modules() if name}
            self._names.setdefault(id(module), type(module).__name__)
            self._roots.append(module)
        self._stack.append(self._names.get(id(module), type(module).__name__))

    def _left(self, _module: nn.Module, _inputs: Any, _output: Any) -> None:
        if self._stack:
            self._stack.pop()

    def __enter__(self) -> None:
        hooks = nn.modules.module
        self._hooks = [
            hooks.register_module_forward_pre_hook(self._entered),
            hooks.register_module_forward_hook(self._left, always_call=True),
        ]
        self._mode.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._mode.__exit__(kind, error, trace)
        for hook in self._hooks:
            hook.remove()


class _Operators(TorchDispatchMode):  # type: ignore[misc]
    def __init__(self, purposes: Purposes) -> None:
        super().__init__()
        self._purposes = purposes

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        _C.set_purpose(self._purposes.number(func.overloadpacket.__name__))
        try:
            return func(*args, **(kwargs or {}))
        finally:
            _C.set_purpose(0)
