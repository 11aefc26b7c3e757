"""Samplers that reject until every draw is accepted, bounded where timing mode does not know who was."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import von_mises

from mtia_sim import _C

# Of draws from VonMises, at the concentration that accepts fewest: sqrt(e / 2 pi) (Best and Fisher 1979, table 1).
_FEWEST_ACCEPTED = math.sqrt(math.e / (2 * math.pi))

_torchs_sampler: Any = None


def bound_samplers() -> None:
    """From now on VonMises ends on devices in timing mode; elsewhere it does what it did."""
    global _torchs_sampler
    if _torchs_sampler is None:
        _torchs_sampler = von_mises._rejection_sample
        von_mises._rejection_sample = _rejection_sample


def rounds_of(draws: int) -> int:
    """In how many rounds half of all runs have accepted each of `draws`."""
    return max(1, math.ceil(math.log(2 * max(draws, 1)) / -math.log(1 - _FEWEST_ACCEPTED)))


def _rejection_sample(loc: Tensor, concentration: Tensor, proposal_r: Tensor, x: Tensor) -> Tensor:
    """torch's sampler by torch's operators: what they draw and what a round costs is the same."""
    if x.device.type != "mtia_sim" or _C.mode(x.device.index) != "timing":
        return _torchs_sampler(loc, concentration, proposal_r, x)
    done = torch.zeros(x.shape, dtype=torch.bool, device=x.device)
    is_known, rounds = _knows(done), 0
    while True:
        # torch asks each round whether all are done and whether any was accepted. Of unknown values no answer counts.
        are_done = bool(done.all())
        if are_done if is_known else rounds >= rounds_of(x.numel()):
            return (x + math.pi + loc) % (2 * math.pi) - math.pi
        first, second, third = torch.rand((3, *x.shape), dtype=x.dtype, device=x.device).unbind()
        cosine = torch.cos(math.pi * first)
        f = (1 + proposal_r * cosine) / (proposal_r + cosine)
        c = concentration * (proposal_r - f)
        accept = ((c * (2 - c) - second) > 0) | ((c / second).log() + 1 - c >= 0)
        is_known = is_known and _knows(accept)
        rounds += 1
        if bool(accept.any()) or not is_known:
            x = torch.where(accept, (third - 0.5).sign() * f.acos(), x)
            done = done | accept


def _knows(tensor: Tensor) -> bool:
    return _C.knows(tensor.device.index, tensor.data_ptr(), tensor.nbytes)
