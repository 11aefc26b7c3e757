"""Runs a script as several ranks: a process each, which meet through a file."""

import os
import subprocess
import sys
from pathlib import Path

START = """
import datetime, os, sys, warnings
import torch
import torch.distributed as dist
warnings.simplefilter("ignore")
RANK, SIZE = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
DEVICE = torch.device("mtia_sim", torch.accelerator.current_device_index())
dist.init_process_group(
    init_method=os.environ["MEETING"], rank=RANK, world_size=SIZE,
    device_id=DEVICE if "BOUND" in os.environ else None,
    timeout=datetime.timedelta(seconds=float(os.environ.get("LIMIT", "60"))),
)
"""


def run(
    script: str, size: int, folder: Path, expected: int | None = 0, before: str = "", **environment: str
) -> list[str]:
    """What each rank of `size` printed; `expected` is the exit status of all, None for any.

    `before` runs ahead of everything but `import os`. With BOUND the process group is that of a device, as one needs to
    split it.
    """
    meeting = folder / "meeting"
    meeting.unlink(missing_ok=True)
    ranks = []
    for rank in range(size):
        variables = {"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(size)}
        own = {**os.environ, **variables, "MEETING": f"file://{meeting}", "OMP_NUM_THREADS": "1", **environment}
        command = [sys.executable, "-c", "import os\n" + before + START + script]
        ranks.append(subprocess.Popen(command, env=own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
    try:
        printed = [rank.communicate(timeout=240)[0] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    if expected is not None:
        assert [rank.returncode for rank in ranks] == [expected] * size, "\n---\n".join(
            text[-2000:] for text in printed
        )
    return printed
