"""Keeps the parameters of a module the same objects when it moves to or from mtia_sim, tied ones tied.

torch assigns a converted parameter in place only among the backends that TensorImpl::has_compatible_shallow_copy_type
lists; PrivateUse1 is not one of them, and a program cannot add it. Without this shim Module.to makes new parameters:
tied weights come apart and an optimizer made before the move goes on with the old ones.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

DEVICE_TYPE = "mtia_sim"
_Convert = Callable[[torch.Tensor], torch.Tensor]
_state = threading.local()


def _parameters(module: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Parameter]]:
    """Every place of a parameter in the module: a tied one comes once for each."""
    for child in module.modules():
        for name, parameter in child._parameters.items():
            if parameter is not None:
                yield child, name, parameter


def _crosses(module: nn.Module, convert: _Convert) -> bool:
    """Whether `convert` moves a floating point parameter of the module to or from mtia_sim."""
    source = {parameter.device.type for _, _, parameter in _parameters(module)}
    if not source:
        return False
    with torch.no_grad():
        target = convert(torch.empty(0)).device.type
        if source == {DEVICE_TYPE} and target == "cpu":  # a conversion of dtype or storage leaves the device alone
            target = convert(torch.empty(0, device=DEVICE_TYPE)).device.type
    return (target == DEVICE_TYPE) != (source == {DEVICE_TYPE})


def _tie_again(places: list[tuple[nn.Module, str, nn.Parameter]]) -> None:
    converted: dict[int, nn.Parameter | None] = {}
    for child, name, parameter in places:
        child._parameters[name] = converted.setdefault(id(parameter), child._parameters[name])


def _convert_in_place(
    apply: Callable[..., nn.Module], module: nn.Module, convert: _Convert, recurse: bool
) -> nn.Module:
    """Swaps the converted tensors into the parameters; where someone else holds one, ties the new ones instead."""
    places = list(_parameters(module))
    swaps = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        return apply(module, convert, recurse)
    except RuntimeError as error:
        if "Couldn't swap" not in str(error):
            raise
    finally:
        torch.__future__.set_swap_module_params_on_conversion(swaps)
    apply(module, convert, recurse)
    _tie_again(places)
    return module


def install() -> None:
    """Wraps torch.nn.Module._apply; conversions that do not touch mtia_sim go on as before."""
    original = nn.Module._apply
    if hasattr(original, "__wrapped__"):
        return

    @functools.wraps(original)
    def apply(self: nn.Module, fn: _Convert, recurse: bool = True) -> Any:
        if getattr(_state, "inside", False):
            return original(self, fn, recurse)
        _state.inside = True
        try:
            if recurse and _crosses(self, fn):
                return _convert_in_place(original, self, fn, recurse)
            return original(self, fn, recurse)
        finally:
            _state.inside = False

    nn.Module._apply = apply  # type: ignore[method-assign]
