#!/usr/bin/env python3
"""Where a training step's host time goes: each operator's calls and time on the device and on CPU torch.

    python benchmarks/operators.py [--device mtia_sim] [--model 30m] [--dtype float32] [--json FILE]

Every operator is waited for, so that its time is its own: sums are longer than a step that runs asynchronously.
"""

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from pathlib import Path

STEPS = 3


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--device", default="mtia_sim", help="torch device to compare with the CPU")
    parser.add_argument("--model", default="30m", help="size of examples/train_llama.py")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "amp"), help="of the model")
    parser.add_argument("--batch", type=int, default=4, help="sequences a step")
    parser.add_argument("--seq", type=int, default=256, help="tokens a sequence")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of the device and of CPU torch")
    parser.add_argument("--shapes", action="store_true", help="a line for each operator and shape of its tensors")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table to FILE")
    return parser.parse_args()


def operator_times(device_name: str, arguments: argparse.Namespace) -> dict[str, tuple[int, float]]:
    """Calls and milliseconds a step of every operator that reaches `device_name`, after a step to warm up."""
    import torch
    from suites.training import training_step
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    device = torch.device(device_name)
    synchronize = torch.get_device_module(device).synchronize
    totals: dict[str, list[float]] = defaultdict(lambda: [0, 0.0])

    class Clock(TorchDispatchMode):
        def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
            name = str(operator).removeprefix("aten.")
            if arguments.shapes:
                tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
                name += " " + " ".join("x".join(map(str, tensor.shape)) for tensor in tensors[:4])
            synchronize()
            start = time.perf_counter()
            result = operator(*args, **(kwargs or {}))
            synchronize()
            totals[name][0] += 1
            totals[name][1] += time.perf_counter() - start
            return result

    step = training_step(device, arguments.model, arguments.dtype, arguments.batch, arguments.seq)
    step()
    with Clock():
        step()  # what the mode itself does for the first time
        totals.clear()
        for _ in range(STEPS):
            step()
    return {name: (round(calls / STEPS), 1e3 * seconds / STEPS) for name, (calls, seconds) in totals.items()}


def main() -> int:
    arguments = parse_arguments()
    os.environ["OMP_NUM_THREADS"] = os.environ["MTIA_SIM_THREADS"] = str(arguments.threads)
    import torch

    torch.set_num_threads(arguments.threads)
    host, cpu = operator_times(arguments.device, arguments), operator_times("cpu", arguments)
    names = sorted({*host, *cpu}, key=lambda name: -max(host.get(name, (0, 0.0))[1], cpu.get(name, (0, 0.0))[1]))
    print(f"{'operator':60} {'calls':>6} {arguments.device + ' ms':>12} {'calls':>6} {'cpu ms':>9}")
    for name in names:
        (host_calls, host_ms), (cpu_calls, cpu_ms) = host.get(name, (0, 0.0)), cpu.get(name, (0, 0.0))
        print(f"{name:60} {host_calls:6} {host_ms:12.2f} {cpu_calls:6} {cpu_ms:9.2f}")
    sums = [sum(ms for _, ms in side.values()) for side in (host, cpu)]
    print(f"{'all':60} {'':6} {sums[0]:12.2f} {'':6} {sums[1]:9.2f}")
    if arguments.json is not None:
        table = [{"operator": name, "host": host.get(name), "cpu": cpu.get(name)} for name in names]
        arguments.json.write_text(json.dumps(table, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
