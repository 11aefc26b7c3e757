"""What torch.autocast("mtia_sim") may compute in, and the decorators of autograd functions under it."""

import functools

import torch

#: As torch.cuda.amp has them: torch.amp's for this device.
custom_fwd = functools.partial(torch.amp.custom_fwd, device_type="mtia_sim")
custom_bwd = functools.partial(torch.amp.custom_bwd, device_type="mtia_sim")


def get_amp_supported_dtype() -> list[torch.dtype]:
    """The dtypes of autocast: both 16-bit floats, which the dot product engine takes at the same rate."""
    return [torch.bfloat16, torch.float16]
