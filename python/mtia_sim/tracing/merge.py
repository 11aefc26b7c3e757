"""``python -m mtia_sim merge``: the traces that the ranks of a job wrote as one file, on one axis of chip time."""

import argparse
import sys
from pathlib import Path
from typing import Any

from mtia_sim.tracing import PERFETTO_ENDINGS, chrome, perfetto
from mtia_sim.tracing.timeline import Timeline


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the subcommand."""
    parser.add_argument(
        "merged", type=Path, help="where to write; the ending says the format, as of torch.mtia_sim.trace"
    )
    parser.add_argument("traces", type=Path, nargs="+", help="JSON files of torch.mtia_sim.trace, one a rank")


def run(arguments: argparse.Namespace) -> int:
    """Writes the merged file; returns the exit status."""
    timelines = []
    for path in arguments.traces:
        try:
            timelines.append(chrome.read(path))
        except (OSError, ValueError, LookupError, TypeError) as error:
            print(
                f"mtia_sim merge: {path} is no trace of torch.mtia_sim.trace to a path in .json: {error}",
                file=sys.stderr,
            )
            return 2
    try:
        whole = merge(timelines)
    except ValueError as error:
        print(f"mtia_sim merge: {error}", file=sys.stderr)
        return 2
    writer = perfetto if arguments.merged.name.endswith(PERFETTO_ENDINGS) else chrome
    writer.write(whole, arguments.merged)
    print(f"{arguments.merged}: ranks {', '.join(str(rank) for rank in whole.facts['merged_ranks'])}")
    return 0


def merge(timelines: list[Timeline]) -> Timeline:
    """One timeline of several ranks': their groups in the order of ranks, named by them, from the earliest origin on.

    All chips of a job count chip time from their start, and a collective ends at the same chip time on each, so that
    the axes are one.

    Raises:
        ValueError: Two timelines of one rank, or of jobs of different size or chips of different kind.
    """
    ordered = sorted(timelines, key=lambda timeline: int(timeline.facts["rank"]))
    ranks = [int(timeline.facts["rank"]) for timeline in ordered]
    if len(set(ranks)) != len(ranks):
        raise ValueError(f"two traces are of one rank: {ranks}")
    for fact in ("ranks", "chip"):
        values = {timeline.facts[fact] for timeline in ordered}
        if len(values) > 1:
            raise ValueError(f"the traces are of different jobs: their {fact} are {sorted(values)}")
    origin = min(float(timeline.facts["origin_seconds_of_chip_time"]) for timeline in ordered)
    groups = []
    for rank, timeline in zip(ranks, ordered, strict=True):
        shift = round((float(timeline.facts["origin_seconds_of_chip_time"]) - origin) * 1e9)
        groups += [group.moved(f"rank {rank}  {group.name}", shift) for group in timeline.groups]
    facts: dict[str, Any] = {**ordered[0].facts, "origin_seconds_of_chip_time": origin, "merged_ranks": ranks}
    del facts["rank"]
    for fact in ("dropped_instructions", "dropped_commands"):
        facts[fact] = sum(timeline.facts[fact] for timeline in ordered)
    return Timeline(groups, facts)
