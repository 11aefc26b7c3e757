"""torch's OpInfo database in float32, forward: every sample of every operator but those of catalogue.OPEN.

The other dtypes and directions: `python -m tests.conformance opinfo`; docs/operators.md has what they come to.
"""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("expecttest", reason="torch's own test tools need it")

from tests.conformance.opinfo import cases, catalogue

# 1,440 and 576 samples; max_pool2d and max_pool1d call the same operators.
LONG = {"max_pool2d_with_indices_backward", "nn.functional.max_pool3d"}


def _entries() -> list[catalogue.Entry]:
    return [entry for entry in catalogue.entries() if torch.float32 in entry.info.dtypes]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "entry",
    [pytest.param(entry, id=entry.name, marks=pytest.mark.slow if entry.name in LONG else ()) for entry in _entries()],
)
def test_forward(entry: catalogue.Entry) -> None:
    reason = catalogue.OPEN.get(entry.name)
    if reason is None:
        cases.test_forward(entry, torch.float32)
        return
    with pytest.raises(AssertionError):  # once it passes, it leaves the table
        cases.test_forward(entry, torch.float32)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
@pytest.mark.parametrize("entry", [pytest.param(entry, id=entry.name) for entry in catalogue.entries()])
@pytest.mark.parametrize("direction", ["backward", "out", "inplace"])
def test_other_directions(entry: catalogue.Entry, direction: str) -> None:
    if entry.name in catalogue.OPEN or torch.float32 not in cases.dtypes_of(entry.info, direction):
        pytest.skip("CPU torch has no such form in float32, or the table of catalogue.OPEN names it")
    getattr(cases, f"test_{direction}")(entry, torch.float32)
