"""torch.save refuses values that timing mode does not know: a checkpoint of placeholders would load like a real one."""

from typing import Any

import torch

from mtia_core.errors import Unsupported
from mtia_sim import _C

_BEFORE_TORCHS_OWN = 19  # which looks at storages of PrivateUse1 with priority 23; the smaller number goes first


def register() -> None:
    """Puts the check in front of torch's own naming of a storage's device."""
    torch.serialization.register_package(_BEFORE_TORCHS_OWN, _refuse_unknown, lambda storage, location: None)


def _refuse_unknown(storage: Any) -> None:
    device = storage.device
    if device.type != "mtia_sim" or _C.mode(device.index) != "timing":
        return
    if not _C.knows(device.index, storage.data_ptr(), storage.nbytes()):
        raise Unsupported(
            f"torch.save of {storage.nbytes()} bytes on {device}, whose values timing mode does not know",
            remedy="save in functional mode, or leave the checkpoint out",
        )
