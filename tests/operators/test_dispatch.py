"""The plan cache, and dtypes without kernels."""

import pytest
import torch

from tests.operators.comparison import DEVICE, random_tensor


def test_second_call_takes_its_plan_from_the_cache() -> None:
    from mtia_sim import _C

    x = random_tensor(3, 1027).to(DEVICE)
    x + x
    before = _C.plan_cache_statistics()
    for _ in range(5):
        x + x
    after = _C.plan_cache_statistics()
    assert after["misses"] == before["misses"]
    assert after["hits"] == before["hits"] + 5


def test_complex_numbers_are_refused_with_a_remedy() -> None:
    with pytest.raises(NotImplementedError, match=r"softmax of ComplexFloat.*view_as_real"):
        torch.softmax(torch.ones(2, device=DEVICE) * 1j, 0)
