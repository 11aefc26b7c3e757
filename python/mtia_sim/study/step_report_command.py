"""`python -m mtia_sim report`: of a summary or a trace, or of a training step of many chips that is measured now."""

import argparse
import sys
from pathlib import Path

from mtia_sim.reporting import report_command
from mtia_sim.study import many_command
from mtia_sim.study.arguments import ended
from mtia_sim.study.workloads import DTYPES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `python -m mtia_sim report`."""
    report_command.add_arguments(parser)
    step = parser.add_argument_group("instead of a file: a training step of many chips")
    step.add_argument("--workload", help="llama3-8b-train and the like")
    step.add_argument("--chips", help="names or TOML files and numbers, with commas between them: mtia300x16,h100x16")
    step.add_argument("--plan", help="fsdp=8,tp=2,cp=..,pp=..,dp=..,v=.. or auto, the default")
    step.add_argument("--batch", type=int, help="sequences of a step of all chips together; as many as chips")
    step.add_argument("--seq", type=int, help="tokens of a sequence")
    step.add_argument("--layers", type=int, help="layers of the model, for a quick look")
    step.add_argument("--recompute", type=int, default=1, choices=(0, 1, 2), help="as of compare")
    step.add_argument("--dtype", default="bfloat16", choices=tuple(DTYPES))
    step.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="of all chips; again for more")
    step.add_argument("--price", type=Path, help="TOML file of prices; those of mtia_sim are marked as assumed")


def run(arguments: argparse.Namespace) -> int:
    """Prints the tables; returns the exit status."""
    if arguments.file is not None:
        if arguments.workload is not None:
            print("report: a file and --workload: give one of them", file=sys.stderr)
            return 2
        return report_command.run(arguments)
    if arguments.workload is None or arguments.chips is None:
        print("report: give a file, or --workload and --chips", file=sys.stderr)
        return 2
    return ended("report", lambda: many_command.report(arguments))
