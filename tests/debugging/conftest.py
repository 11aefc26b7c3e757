"""Tests of the tools that look into running kernels."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def device() -> Iterator[torch.device]:
    """The first device; afterwards it is idle and without a pending error."""
    if not hasattr(torch, "mtia_sim"):
        pytest.skip("torch has no mtia_sim: extension not built (make build)")
    torch.mtia_sim.set_device(0)
    yield torch.device("mtia_sim:0")
    torch.mtia_sim.synchronize(0)
