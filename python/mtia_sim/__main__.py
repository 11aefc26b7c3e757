"""``python -m mtia_sim COMMAND``: the tools of mtia_sim outside of a script."""

import argparse
import sys

from mtia_sim import smi
from mtia_sim.debugging import replay_command
from mtia_sim.study import compare_command, design_command, step_report_command, validate_command
from mtia_sim.tracing import merge, picture

# Subcommand: (module with add_arguments and run, what it does).
COMMANDS = {
    "compare": (compare_command, "one workload on several chips: time, energy, memory, cost, and how sure that is"),
    "design": (design_command, "a chip fitted to a workload, within budgets of area, power and cost"),
    "merge": (merge, "traces of several ranks as one, on one axis of chip time"),
    "picture": (picture, "draws a trace"),
    "replay": (replay_command, replay_command.__doc__ or ""),
    "report": (step_report_command, "where chip time and energy of a run or trace went, and what bounds each kernel"),
    "smi": (smi, "devices, memory, utilisation and power of every process, like nvidia-smi"),
    "validate": (validate_command, "published figures against the model's: what calibrates it, and what checks it"),
}


def main(words: list[str] | None = None) -> int:
    """Runs a subcommand; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m mtia_sim", description=__doc__)
    subparsers = parser.add_subparsers(dest="command", required=True)
    for name, (module, summary) in COMMANDS.items():
        module.add_arguments(subparsers.add_parser(name, help=summary, description=summary))
    arguments = parser.parse_args(words)
    return COMMANDS[arguments.command][0].run(arguments)


if __name__ == "__main__":
    sys.exit(main())
