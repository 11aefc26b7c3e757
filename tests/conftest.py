"""Shares the cores among pytest's workers, before anything imports torch: more threads than cores slow all of them."""

import os

_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_SHARE = str(max(1, len(os.sched_getaffinity(0)) // _WORKERS))
for _variable in ("MTIA_SIM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_variable, _SHARE)
