"""All of these tests need the built device."""

import pytest
import torch


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not hasattr(torch, "mtia_sim"):
        for item in items:
            item.add_marker(pytest.mark.skip(reason="torch has no mtia_sim: extension not built"))


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(20)
