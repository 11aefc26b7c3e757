"""torch's generic device tests, as trees of other backends hold them, instantiated for this device."""

import sys
from typing import Any

import torch
from torch.testing._internal import common_device_type

# Folders of such a tree are called what packages of torch's are (functorch), which come first then.
sys.path.sort(key=lambda entry: "site-packages" not in entry)
# As torch does when the first of the classes is set up: classes made before and after it would have two names.
common_device_type.PrivateUse1TestBase.device_type = torch._C._get_privateuse1_backend_name()

_instantiate = common_device_type.instantiate_device_type_tests
_OTHER_DEVICES = ("cpu", "cuda", "xpu", "meta", "hpu", "mps")


def instantiate(generic_test_class: type, scope: dict[str, Any], *_: Any, **__: Any) -> None:
    """In the place of torch's instantiate_device_type_tests, whatever devices the tree asks for."""
    _instantiate(generic_test_class, scope, except_for=_OTHER_DEVICES)
