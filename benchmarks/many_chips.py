"""A step of training Llama 3 on 8, 256 and 16,384 chips in timing mode: `python benchmarks/many_chips.py`.

The jobs are those of mtia_sim.study.jobs, built as torchtitan builds them; a process runs for each pipeline stage.
"""

import argparse
import tempfile
from pathlib import Path

from mtia_core import chips
from mtia_sim.study.comparison import peak_flops
from mtia_sim.study.jobs import JOBS
from mtia_sim.study.runs import Run
from mtia_sim.study.stages import measure

PUBLISHED = ("llama3-8b-train-8", "llama3-70b-train-256", "llama3-405b-train-16384")


def row(name: str, chip: str, folder: Path) -> str:
    """One line of the table."""
    job, memory = JOBS[name], chips.load(chip).dram_bytes
    found = measure(job, Run(name, chip).with_room().write(folder))
    seconds, needed = found["seconds"], found["peak_memory_bytes"]
    achieved = found["model_flops"] / seconds
    fits = "" if needed <= memory else ", too much"
    share, idle = achieved / peak_flops(chips.load(chip), "bfloat16"), 1 - found["busy_seconds"] / seconds
    return (
        f"| {chip} | {job.described} | {seconds:.2f} s | {found['items'] / seconds:,.0f} "
        f"| {achieved / 1e12:.0f} TFLOP/s ({100 * share:.0f} %) | {100 * idle:.0f} % "
        f"| {found['joules'] / found['items']:.3f} J | {needed / 2**30:.0f} GiB{fits} "
        f"| {found['host_seconds']:.0f} s |"
    )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", nargs="*", choices=JOBS, default=PUBLISHED)
    parser.add_argument("--chips", nargs="*", default=("mtia300", "h100"))
    arguments = parser.parse_args()
    print("| chip | job | step | tokens/s a chip | of a chip | grid idle | a token | memory | host |")
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for chip in arguments.chips:
            for name in arguments.jobs:
                print(row(name, chip, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
