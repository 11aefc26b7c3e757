"""Tests of mtia_sim as PyTorch sees it: a checklist of capabilities, one file each."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def device() -> Iterator[torch.device]:
    """The first device; afterwards it is idle, without a pending error, and current again."""
    torch.mtia_sim.set_device(0)
    yield torch.device("mtia_sim:0")
    torch.mtia_sim.set_device(0)
    torch.mtia_sim.set_stream(torch.mtia_sim.default_stream(0))
    for index in range(torch.mtia_sim.device_count()):
        torch.mtia_sim.synchronize(index)
