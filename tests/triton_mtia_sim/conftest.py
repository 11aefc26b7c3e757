"""Makes the reference interpreter importable and the backend known where the package is not installed."""

import sys
from pathlib import Path

import triton.backends

import triton_mtia_sim.compiler
import triton_mtia_sim.driver

sys.path.insert(0, str(Path(__file__).parent))
if "mtia_sim" not in triton.backends.backends:
    triton.backends.backends["mtia_sim"] = triton.backends.Backend(
        triton_mtia_sim.compiler.MtiaBackend, triton_mtia_sim.driver.MtiaDriver
    )
