"""Chooses where the kernels' tests run before anything imports triton, and seeds each test by its name."""

import zlib

import pytest
import torch

from tests.kernels import harness  # noqa: F401


@pytest.fixture(autouse=True)
def seeded(request: pytest.FixtureRequest) -> None:
    torch.manual_seed(zlib.crc32(request.node.name.encode()))
