"""Shares the cores among the workers of pytest before anything imports torch, and fails tests that leave findings.

Under MTIA_SIM_CHECK=1 (`make test-checked`) a finding of checked mode fails the test that left it, a warning too."""

import os
import sys
from collections.abc import Iterator

import pytest

_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_SHARE = str(max(1, len(os.sched_getaffinity(0)) // _WORKERS))
for _variable in ("MTIA_SIM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_variable, _SHARE)

# What processes printed that end by os._exit, or are killed, is there to be read.
os.environ.setdefault("PYTHONUNBUFFERED", "1")

CHECKED = os.environ.get("MTIA_SIM_CHECK", "0") not in ("", "0")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for marker in item.iter_markers("unchecked"):
            if CHECKED:
                item.add_marker(pytest.mark.skip(reason=f"under checked mode: {marker.kwargs['reason']}"))


@pytest.fixture(autouse=True)
def no_findings(request: pytest.FixtureRequest) -> Iterator[None]:
    """Under checked mode: fails a test that leaves findings; those marked `finds` make them on purpose."""
    if not CHECKED:
        yield
        return
    yield
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "mtia_sim") or not torch.mtia_sim.is_initialized():
        return
    on_purpose = request.node.get_closest_marker("finds") is not None
    try:
        for device in range(torch.mtia_sim.device_count()):
            torch.mtia_sim.synchronize(device)
    except Exception:
        if not on_purpose:
            raise
    found = torch.mtia_sim.findings()
    torch.mtia_sim.clear_findings()
    assert on_purpose or not found, found
