"""`python -m mtia_sim.study.stage_processes` forks a process for each pipeline stage of the job on its standard input.

A process stands for the chips of its stage (docs/many_chips.md), and waits for the others as its chip would.
"""

import json
import logging
import os
import signal
import socket
import sys
import traceback
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import distributed

from mtia_core import chips
from mtia_sim import _C
from mtia_sim.study import preloaded
from mtia_sim.study.jobs import Job
from mtia_sim.study.sharded import training_step


def _rank(request: dict[str, Any]) -> dict[str, Any]:
    # In the process of a rank.
    job = Job(**request["job"])
    device: Any = torch.mtia_sim  # type: ignore[attr-defined]
    distributed.init_process_group()
    try:
        step = training_step(job.size(request["layers"]), job)
        if job.pipeline == 1:  # stages would warm up for as long as they work
            step()
        device.synchronize()
        _C.spend_saved_power(0)  # what goes on and on has nothing saved
        device.reset_perf_counters()
        step()
        device.synchronize()
    except torch.OutOfMemoryError as error:
        if job.pipeline > 1:
            raise  # the other stages wait for this one
        return {"problem": str(error).splitlines()[0]}
    counters = device.perf_counters()
    idle = max(0.0, counters["elapsed_seconds"] - counters["seconds"])
    return {
        "seconds": counters["elapsed_seconds"],
        "busy_seconds": counters["seconds"],
        "collective_seconds": counters["collective_seconds"],
        "joules": counters["joules"] + chips.load().idle_watts * idle,
        "peer_bytes": counters["bytes"]["peers"],
        "stand_in_fraction": device.timing_summary()["stand_in_seconds"] / counters["seconds"],
        "launches": counters["launches"],
        "peak_memory_bytes": device.max_memory_allocated(),
    }


def _port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _start(name: str, request: dict[str, Any], **environment: str) -> tuple[int, int]:
    """A process that measures, and where its answer can be read."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.dup2(2, 1)  # what it prints is no answer
            logging.disable(logging.ERROR)  # a schedule that fails is printed whole
            os.environ.update(environment)
            os.write(writes, json.dumps(_rank(request)).encode())
            status = 0
        except BaseException:
            print(f"{name}: {traceback.format_exc()}", file=sys.stderr, flush=True)
        os._exit(status)
    os.close(writes)
    return child, reads


def _finish(started: list[tuple[int, int]]) -> list[dict[str, Any]]:
    running = {child for child, _ in started}
    while running:
        child, status = os.wait()
        running.discard(child)
        if status:
            print(f"process {child} ended with {os.waitstatus_to_exitcode(status)}", file=sys.stderr)
            for other in running:  # which would wait for it
                os.kill(other, signal.SIGKILL)
            sys.exit(1)
    answers = []
    for _, reads in started:
        with os.fdopen(reads) as answer:
            answers.append(json.loads(answer.read()))
    return answers


def main() -> int:
    """Prints a list of what each stage measured."""
    assert preloaded.MODULES
    request = json.load(sys.stdin)
    job = Job(**request["job"])
    common = {"WORLD_SIZE": str(job.pipeline), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_port())}
    common |= {"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1", "MTIA_SIM_WORLD": f"/{job.chips}"}
    if job.pipeline > 1:
        # Each stage would compile the same kernels: one layer does, before they start.
        alone = replace(job, pipeline=1, chunks=1, batch=job.microbatch)
        short = {"job": asdict(alone), "layers": 1}
        _finish([_start("a layer", short, **{**common, "WORLD_SIZE": "1", "MTIA_SIM_WORLD": f"/{alone.chips}"})])
        common["MTIA_SIM_THREADS"] = "1"
    stages = [_start(f"stage {rank}", request, **common, RANK=str(rank)) for rank in range(job.pipeline)]
    print(json.dumps(_finish(stages)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
