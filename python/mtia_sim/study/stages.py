"""A step of training on thousands of chips, measured in processes of its own (stage_processes)."""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from typing import Any

from mtia_core import chips
from mtia_sim.study.jobs import Job


def measure(job: Job, chip: str | None = None, layers: int | None = None) -> dict[str, Any]:
    """What a step takes on each chip of a job, in timing mode, in processes of its own.

    Args:
        job: The model, and how it is spread.
        chip: A chip or its file; None: the environment's.
        layers: Of the model; None: all of them.

    Returns:
        items (tokens) and model_flops of each chip; fits, and where it does: seconds, joules a chip, launches;
        busy_seconds of the grid, collective_seconds and peer_bytes of the stage that works longest; peak_memory_bytes
        of the fullest stage; else problem. host_seconds of all of it.

    Raises:
        RuntimeError: A process failed; its last words.
    """
    request = {"job": asdict(job), "layers": layers}
    environment = {**os.environ, "MTIA_SIM_MODE": "timing", **({chips.VARIABLE: chip} if chip else {})}
    environment |= job.environment
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "mtia_sim.study.stage_processes"],
        env=environment,
        input=json.dumps(request),
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{job.described} failed: {done.stderr[-3000:]}")
    stages: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    size = job.size(layers)
    share = job.context * job.tensor * job.pipeline
    flops = 3 * size.forward_flops(job.batch * job.sequence, job.sequence / 2) / share
    result: dict[str, Any] = {"unit": "token", "items": job.tokens, "model_flops": flops}
    result["host_seconds"] = time.perf_counter() - began
    problems = [stage["problem"] for stage in stages if "problem" in stage]
    if problems:
        return {**result, "fits": False, "problem": problems[0]}
    longest = max(stages, key=lambda stage: stage["busy_seconds"])
    return {
        **result,
        "fits": True,
        "seconds": max(stage["seconds"] for stage in stages),
        "joules": sum(stage["joules"] for stage in stages) / len(stages),
        "launches": sum(stage["launches"] for stage in stages),
        **{key: longest[key] for key in ("busy_seconds", "collective_seconds", "peer_bytes", "stand_in_fraction")},
        "peak_memory_bytes": max(stage["peak_memory_bytes"] for stage in stages),
    }
