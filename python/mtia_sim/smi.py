"""``python -m mtia_sim smi``: devices of all processes, their memory, utilisation and power, as nvidia-smi shows them.

Every process has chips of its own, so a line is a device of a process. Ranks of process groups have a second table."""

import argparse
import datetime
import json
import time
from typing import Any

from mtia_sim import status

_COLUMNS = ("pid", "device", "memory allocated / total", "reserved", "grid busy", "power", "chip time", "host", "queue")
_RANK_COLUMNS = ("rank", "pid", "device", "state", "collectives", "in them", "waited for others", "groups")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the subcommand."""
    parser.add_argument("--json", action="store_true", help="one JSON object a sample instead of tables")
    parser.add_argument("--loop", type=float, metavar="SECONDS", help="go on, with a sample every so many seconds")
    parser.add_argument(
        "--interval", type=float, default=0.5, metavar="SECONDS", help="over which utilisation and power are measured"
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints samples, until interrupted with --loop; returns the exit status."""
    try:
        return _show(arguments)
    except KeyboardInterrupt:
        return 0


def _show(arguments: argparse.Namespace) -> int:
    if arguments.loop is not None and arguments.loop <= 0:
        print("mtia_sim smi: --loop takes a number of seconds above 0")
        return 2
    before = status.processes()
    time.sleep(max(0.0, arguments.interval) if before else 0.0)
    while True:
        now = status.processes()
        sample = sample_of(before, now)
        print(json.dumps(sample) if arguments.json else table_of(sample), flush=True)
        if arguments.loop is None:
            return 0
        before = now
        time.sleep(arguments.loop)


def sample_of(before: list[dict[str, Any]], now: list[dict[str, Any]]) -> dict[str, Any]:
    """States of processes with the rates between two samples, by device.

    ``grid_busy`` is the share of the chip time that passed in which the PE grid worked, ``watts`` the energy over that
    chip time, ``host_share`` the share of the host's time that the device's dispatcher computed, ``chip_per_host`` how
    much chip time passed in a second of the host's. A device that did nothing in between has None for the first two.
    """
    former = {(state["pid"], device["index"]): (state, device) for state in before for device in state["devices"]}
    processes = []
    for state in now:
        devices = []
        for device in state["devices"]:
            earlier_state, earlier = former.get((state["pid"], device["index"]), (state, device))
            devices.append({**device, **_rates(earlier_state, earlier, state, device)})
        processes.append({**state, "devices": devices})
    return {"time": datetime.datetime.now().astimezone().isoformat(timespec="seconds"), "processes": processes}


def _rates(
    earlier_state: dict[str, Any], earlier: dict[str, Any], state: dict[str, Any], device: dict[str, Any]
) -> dict[str, float | None]:
    def passed(field: str) -> float:
        return float(device[field]) - float(earlier[field])

    chip, host = passed("chip_seconds"), float(state["host_seconds"]) - float(earlier_state["host_seconds"])
    return {
        "grid_busy": min(1.0, passed("grid_seconds") / chip) if chip > 0 else None,
        "watts": passed("joules") / chip if chip > 0 else None,
        "host_share": min(1.0, passed("dispatcher_seconds") / host) if host > 0 else None,
        "chip_per_host": chip / host if host > 0 else None,
    }


def table_of(sample: dict[str, Any]) -> str:
    """A sample as text."""
    rows: list[tuple[str, ...]] = [
        (
            str(process["pid"]),
            f"{device['index']}: {process['chip']}",
            f"{_size(device['allocated_bytes'])} / {_size(device['total_bytes'])}",
            _size(device["reserved_bytes"]),
            _share(device["grid_busy"]),
            "idle" if device["watts"] is None else f"{device['watts']:.0f} / {process['typical_watts']:.0f} W",
            _duration(device["chip_seconds"]),
            _share(device["host_share"]),
            str(device["queued"]),
        )
        for process in sample["processes"]
        for device in process["devices"]
    ]
    lines = [f"mtia_sim  {sample['time']}"]
    if rows:
        lines += _table(_COLUMNS, rows)
    else:
        lines.append("no device of any process is in use")
    if ranks := _rank_rows(sample):
        lines += ["", *_table(_RANK_COLUMNS, ranks)]
    if sample["processes"]:
        lines += ["", *(f"{process['pid']:>8}  {process['command']}" for process in sample["processes"])]
    return "\n".join(lines)


def _rank_rows(sample: dict[str, Any]) -> list[tuple[str, ...]]:
    """A row a device of each process that is in a process group, in the order of ranks; a process's first group is that
    of its job."""
    ranked = [
        (process["groups"][0], process, device)
        for process in sample["processes"]
        if process["groups"]
        for device in process["devices"]
    ]
    return [
        (
            f"{job['rank']} of {job['size']}",
            str(process["pid"]),
            str(device["index"]),
            state_of(device),
            str(device["collectives"]),
            _duration(device["collective_seconds"]),
            _duration(device["waited_chip_seconds"]),
            ", ".join(f"{_group_name(group)} {group['rank']}/{group['size']}" for group in process["groups"][1:])
            or "-",
        )
        for job, process, device in sorted(ranked, key=lambda row: (row[0]["rank"], row[1]["pid"], row[2]["index"]))
    ]


def state_of(device: dict[str, Any]) -> str:
    """What a device does: waits for other ranks, and since when on the host's clock; computes; or is idle."""
    if device["waiting_for"]:
        return f"waits in {device['waiting_for']}, {device['waiting_seconds']:.1f} s"
    return "computes" if device["queued"] else "idle"


def _group_name(group: dict[str, Any]) -> str:
    return str(group["description"] or group["name"])


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[i]) for row in (columns, *rows)) for i in range(len(columns))]
    rule = "+".join("-" * (width + 2) for width in widths)
    return [_line(columns, widths), rule, *(_line(row, widths) for row in rows)]


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    return "|".join(f" {cell:>{width}} " for cell, width in zip(cells, widths, strict=True))


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def _share(share: float | None) -> str:
    return "idle" if share is None else f"{share:.0%}"


def _duration(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.1f} us"
    return f"{seconds * 1e3:.2f} ms" if seconds < 1 else f"{seconds:.3f} s"
