"""torch's generic device tests, as trees of other backends hold them, instantiated for this device."""

from typing import Any

from torch.testing._internal import common_device_type

_instantiate = common_device_type.instantiate_device_type_tests
_OTHER_DEVICES = ("cpu", "cuda", "xpu", "meta", "hpu", "mps")


def instantiate(generic_test_class: type, scope: dict[str, Any], *_: Any, **__: Any) -> None:
    """In the place of torch's instantiate_device_type_tests, whatever devices the tree asks for."""
    _instantiate(generic_test_class, scope, except_for=_OTHER_DEVICES)
