#!/usr/bin/env python3
"""Host time of an all_reduce between processes: the device's against Gloo's own on CPU tensors, in turn in one run.

torchrun --nproc-per-node=2 benchmarks/collectives.py [--mebibytes 256] [--rounds 7] [--json FILE]
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
import torch.distributed as dist


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--mebibytes", type=float, default=256, help="length of the tensor, in float32")
    parser.add_argument("--rounds", type=int, default=7, help="all_reduces measured of each, after one of each")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to FILE")
    return parser.parse_args()


def seconds_of(tensor: torch.Tensor) -> float:
    """Of one all_reduce, from when all ranks are there until it has ended on all of them."""
    if tensor.device.type == "mtia_sim":
        torch.mtia_sim.synchronize()
    dist.barrier()
    begin = time.perf_counter()
    dist.all_reduce(tensor)
    if tensor.device.type == "mtia_sim":
        torch.mtia_sim.synchronize()
    spent = torch.tensor([time.perf_counter() - begin], dtype=torch.float64)
    dist.all_reduce(spent, op=dist.ReduceOp.MAX)
    return spent.item()


def main() -> None:
    arguments = parse_arguments()
    dist.init_process_group()
    elements = int(arguments.mebibytes * 2**18)
    tensors = {"device": torch.zeros(elements, device="mtia_sim"), "gloo": torch.zeros(elements)}
    seconds: dict[str, list[float]] = {name: [] for name in tensors}
    for tensor in tensors.values():
        seconds_of(tensor)
    for _ in range(arguments.rounds):
        for name, tensor in tensors.items():
            seconds[name].append(seconds_of(tensor))
    gibibytes = arguments.mebibytes / 1024
    rates = {name: gibibytes / statistics.median(each) for name, each in seconds.items()}
    if dist.get_rank() == 0:
        result = {
            "ranks": dist.get_world_size(),
            "mebibytes": arguments.mebibytes,
            "device_gibibytes_per_second": rates["device"],
            "gloo_gibibytes_per_second": rates["gloo"],
            "ratio": rates["device"] / rates["gloo"],
        }
        for name, value in result.items():
            print(f"{name:28} {value:.4g}")
        if arguments.json:
            arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
