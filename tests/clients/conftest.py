"""Programs that know nothing of mtia_sim: all of these tests need the built device."""

import pytest
import torch


@pytest.fixture
def device() -> torch.device:
    if not hasattr(torch, "mtia_sim"):
        pytest.skip("torch has no mtia_sim: extension not built")
    return torch.device("mtia_sim")
