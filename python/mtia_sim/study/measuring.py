"""Runs workloads on one chip in timing mode: `python -m mtia_sim.study.measuring`.

Reads requests, one JSON object a line, and prints an answer to each.

A process of its own, since chip and mode are chosen before the device's first use.
"""

import gc
import json
import os
import sys
import time
import traceback
from dataclasses import asdict
from typing import Any

import torch

from mtia_core import chips
from mtia_core.errors import InvalidArgument, MtiaError
from mtia_sim import _C
from mtia_sim.study.parallel_measuring import measure_part
from mtia_sim.study.workloads import Options, prepare

_MOST = 300  # characters of what torch says
_REMEDY = "ask for another shape, size or dtype, if it is not mtia_sim's fault"


def measure(workload: str, options: Options) -> dict[str, Any]:
    """Chip time and energy of a step of a workload that goes on: the first one compiles its kernels.

    Returns:
        described, unit, items, model_flops; fits, and where it does: seconds (with streams and links side by side),
        joules, dynamic_joules, flops, dot_flops, bytes, launches, by_kernel (`kernel_totals.by_name`),
        peak_memory_bytes, stand_in_fraction; else problem. host_seconds of all of it.
    """
    device: Any = torch.mtia_sim  # type: ignore[attr-defined]
    began = time.perf_counter()
    device.reset_peak_memory_stats()
    result: dict[str, Any] = {"workload": workload, **asdict(options)}
    try:
        prepared = prepare(workload, options)
        result |= {"described": prepared.described, "unit": prepared.unit, "items": prepared.items}
        result["model_flops"] = prepared.model_flops
        prepared.step()
        device.synchronize()
        _C.spend_saved_power(0)  # what goes on and on has nothing saved
        device.reset_perf_counters()
        with device.kernel_totals() as totals:
            prepared.step()
            device.synchronize()
        counters = device.perf_counters()
        if not counters["elapsed_seconds"]:
            raise InvalidArgument(f"{workload} does nothing on the device", remedy='make its tensors on "mtia_sim"')
    except torch.OutOfMemoryError as error:
        first = str(error).splitlines()[0]
        return {**result, "fits": False, "problem": first, "host_seconds": time.perf_counter() - began}
    keys = ("joules", "dynamic_joules", "flops", "dot_flops", "bytes", "launches")
    result |= {"fits": True, "seconds": counters["elapsed_seconds"], **{key: counters[key] for key in keys}}
    # Accounts are of what worked; between it, the chip is idle.
    result["joules"] += chips.load().idle_watts * max(0.0, counters["elapsed_seconds"] - counters["seconds"])
    stand_in = device.timing_summary()["stand_in_seconds"]
    result["stand_in_fraction"] = stand_in / counters["seconds"] if counters["seconds"] else 0.0
    result["by_kernel"] = totals.by_name()
    result["peak_memory_bytes"] = device.max_memory_allocated()
    return {**result, "host_seconds": time.perf_counter() - began}


def _forget() -> None:
    # The next run finds what the first one of a process finds. Groups that are gone held streams, of which there are so
    # many; what works on one stream cannot overlap. (They cannot be destroyed: DTensor remembers their meshes.)
    gc.collect()
    torch.mtia_sim.empty_cache()  # type: ignore[attr-defined]
    torch.mtia_sim.flush_cache()  # type: ignore[attr-defined]
    _C.restart_stream_pools(0)


def main() -> int:
    """Answers requests; an error of mtia_sim's is answered as such. What workloads print goes with the errors."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    torch.mtia_sim.set_mode("timing")  # type: ignore[attr-defined]
    for line in sys.stdin:
        request = json.loads(line)
        given = request["options"]
        options = Options(**{**given, **{key: tuple(given.get(key) or ()) or None for key in ("shape", "plan")}})
        try:
            answer = (measure_part if options.plan else measure)(request["workload"], options)
        except MtiaError as error:
            answer = {"error": [error.problem, error.where, error.remedy]}
        except Exception as error:
            traceback.print_exc()
            said = f"{type(error).__name__}: {' '.join(str(error).split())[:_MOST]}"
            answer = {"error": [f"{request['workload']} ended with {said}", "", _REMEDY]}
        print(json.dumps(answer), file=answers, flush=True)
        _forget()
    return 0


if __name__ == "__main__":
    sys.exit(main())
