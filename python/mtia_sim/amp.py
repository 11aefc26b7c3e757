"""What torch.autocast("mtia_sim") may compute in."""

import torch


def get_amp_supported_dtype() -> list[torch.dtype]:
    """The dtypes of autocast: both 16-bit floats, which the dot product engine takes at the same rate."""
    return [torch.bfloat16, torch.float16]
