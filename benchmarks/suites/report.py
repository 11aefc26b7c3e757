"""Rows of a benchmark, their JSON file and their table."""

import dataclasses
import json
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Row:
    """One measurement; what was not measured is None.

    Times are medians for one call: `host_ms` of the device as the host's clock sees it, `cpu_ms` of CPU torch,
    `interpreter_ms` of the same kernel under Triton's interpreter, `chip_us` in the chip's account. `roofline` is the
    least chip time that FLOPs and DRAM bytes of the case allow over the chip time.
    """

    suite: str
    name: str
    dtype: str
    shape: str
    host_ms: float | None = None
    cpu_ms: float | None = None
    host_ratio: float | None = None
    chip_us: float | None = None
    roofline: float | None = None
    joules: float | None = None
    interpreter_ms: float | None = None


def write_rows(path: Path, rows: list[Row], make: str, instructions: list[str], environment: dict[str, str]) -> None:
    """Writes JSON: `host`, `instructions` and `environment` of the machine, `rows` with the fields of Row."""
    contents = {
        "host": make,
        "instructions": instructions,
        "environment": environment,
        "rows": [dataclasses.asdict(row) for row in rows],
    }
    path.write_text(json.dumps(contents, indent=1) + "\n")


TABLE_HEADER = (
    f"{'suite':8} {'name':28} {'dtype':9} {'shape':22} {'host ms':>10} {'cpu ms':>10} {'ratio':>6} {'chip us':>11} "
    f"{'roofline':>8} {'joules':>9}  CPU time / wall time"
)


def format_row(row: Row, note: str) -> str:
    """A line under TABLE_HEADER; `note` says how quiet the machine was."""

    def number(value: float | None, width: int, digits: int) -> str:
        return f"{'-':>{width}}" if value is None else f"{value:>{width}.{digits}f}"

    roofline = "-" if row.roofline is None else f"{row.roofline:.1%}"
    joules = "-" if row.joules is None else f"{row.joules:.3g}"
    return (
        f"{row.suite:8} {row.name:28} {row.dtype:9} {row.shape:22} {number(row.host_ms, 10, 4)} "
        f"{number(row.cpu_ms, 10, 4)} {number(row.host_ratio, 6, 2)} {number(row.chip_us, 11, 2)} {roofline:>8} "
        f"{joules:>9}  {note}"
    )
