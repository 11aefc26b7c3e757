"""Programs that know nothing of mtia_sim."""

import pytest
import torch


@pytest.fixture
def device() -> torch.device:
    return torch.device("mtia_sim")
