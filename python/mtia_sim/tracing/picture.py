"""``python -m mtia_sim picture``: a trace in Chrome's format as a picture, for documents and for a quick look."""

import argparse
import importlib
import importlib.util
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the subcommand."""
    parser.add_argument("trace", type=Path, help="the JSON file of torch.mtia_sim.trace or torch.profiler")
    parser.add_argument("picture", type=Path, help="where to write; the ending says the format, .png or .svg")
    parser.add_argument("--groups", default="*", help="shell pattern of the groups (processes) to show")
    parser.add_argument("--from", dest="start", type=float, metavar="US", help="microseconds at the left edge")
    parser.add_argument("--to", dest="end", type=float, metavar="US", help="microseconds at the right edge")
    parser.add_argument("--title", default="", help="text above")
    parser.add_argument("--width", type=float, default=12.0, metavar="INCHES", help="width of the picture")


def run(arguments: argparse.Namespace) -> int:
    """Draws; returns the exit status."""
    if importlib.util.find_spec("matplotlib") is None:
        print("mtia_sim picture needs matplotlib: pip install matplotlib", file=sys.stderr)
        return 2
    drawing = importlib.import_module("mtia_sim.tracing.drawing")
    problem: str = drawing.draw(arguments)
    if problem:
        print(f"mtia_sim picture: {problem}", file=sys.stderr)
    return 2 if problem else 0
