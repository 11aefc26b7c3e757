"""What iterates on numbers that timing mode does not know takes about what usual ones take in functional mode."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.device.subprocesses import run_successfully

pytestmark = pytest.mark.unchecked(reason="checks look at values, which timing mode does not compute")
HERE = Path(__file__).parent

# What they cost is the same for all matrices of a size.
DIRECT = {"cholesky", "lu", "lu_unpack", "qr"}


def accounts(script: str) -> dict[str, Any]:
    """Cycles in functional and in timing mode by case, as a script of this folder prints them."""
    done = subprocess.run(
        [sys.executable, HERE / script],
        env={**os.environ, "MTIA_SIM_TIMING_KEPT_BYTES": "4096"},
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    results: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return results


def test_factorisations_take_about_the_same() -> None:
    results = accounts("factor_accounts.py")
    assert len(results) == 72
    # One of them is small enough to be computed on zeros, were it not for what the kernels say.
    for case, (functional, timing) in results.items():
        bound = 0 if case.split()[0] in DIRECT else 0.15
        assert abs(timing - functional) <= bound * functional, (case, timing / functional)


@pytest.mark.slow
def test_series_take_about_as_many_terms() -> None:
    """What stands in for their arguments is of the usual size, not of the same law."""
    for case, (functional, timing) in accounts("series_accounts.py").items():
        assert abs(timing - functional) <= 0.5 * functional, (case, timing / functional)


def test_what_is_not_known_is_not_singular() -> None:
    """Zeros, which stand in for it, would be."""
    program = """
        import torch
        from torch import linalg
        numbers = torch.randn(8192).to("mtia_sim")  # more than what is known
        a, b = numbers[:64].view(8, 8).clone(), numbers[:16].view(8, 2).clone()
        linalg.cholesky(a @ a.mT), linalg.inv(a), linalg.solve(a, b), linalg.eig(a)
        torch.cholesky_inverse(a), linalg.lstsq(a, b, driver="gels")
        torch.mtia_sim.synchronize()
        assert torch.mtia_sim.timing_summary()["computed"] < torch.mtia_sim.timing_summary()["launches"]
    """
    run_successfully(program, MTIA_SIM_MODE="timing", MTIA_SIM_TIMING_KEPT_BYTES="4096")
