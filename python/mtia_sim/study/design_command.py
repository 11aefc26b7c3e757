"""`python -m mtia_sim design`: a chip fitted to a workload, within budgets of area, power and cost."""

import argparse
import json
import math
import sys
from pathlib import Path

from mtia_core import chips
from mtia_core.chips import Chip
from mtia_core.errors import InvalidArgument
from mtia_sim.study import own_workloads
from mtia_sim.study import prices as price_files
from mtia_sim.study.arguments import ended, make_room, parse_shape, show_progress
from mtia_sim.study.axes import default_axes, parse_axes
from mtia_sim.study.candidate import Base, chip_text
from mtia_sim.study.design import Design, Question, Result
from mtia_sim.study.design_report import as_json, dies_text, nothing_fits, repeats, text
from mtia_sim.study.proposer import require_optuna
from mtia_sim.study.silicon import dollars, silicon_of
from mtia_sim.study.workloads import DTYPES, WORKLOADS, Options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `python -m mtia_sim design`."""
    parser.add_argument("--workload", help=f"{', '.join(WORKLOADS)}, or FILE.py:function")
    parser.add_argument("--batch", type=int, help="sequences at a time")
    parser.add_argument("--seq", type=int, help="tokens of a sequence, or of the context of a decoded token")
    parser.add_argument("--layers", type=int, help="layers of the model")
    parser.add_argument("--shape", help="of gemm: rows x columns x depth; of attention: heads x key-value heads x head")
    parser.add_argument("--dtype", default="bfloat16", choices=tuple(DTYPES))
    parser.add_argument("--base", default="mtia300", help="the chip whose other fields are kept: a name or a TOML file")
    parser.add_argument("--process", help="of the base, where the area model does not know it: N7, N5, N3, ...")
    parser.add_argument("--stacks", type=int, help="stacks of HBM of the base, likewise")
    parser.add_argument(
        "--vary", action="append", default=[], metavar="FIELD=LOW:HIGH", help="again for more; a set around the base"
    )
    parser.add_argument("--area", type=float, metavar="MM2", help="at most; that of the base, by the area model")
    parser.add_argument("--power", type=float, metavar="W", help="mean of the workload at most; that of the base")
    parser.add_argument("--cost", type=float, metavar="DOLLARS", help="to make one, at most; that of the base")
    parser.add_argument("--price", type=Path, help="TOML file with the base's chip_dollars: costs are in proportion")
    parser.add_argument("--candidates", type=int, default=200, help="to measure within the budgets")
    parser.add_argument("--seed", type=int, default=0, help="of the search")
    parser.add_argument("--processes", type=int, help="that measure side by side; one a processor")
    parser.add_argument("--out", type=Path, default=Path("design"), metavar="FOLDER", help="study, chips and picture")
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes all of it there, too")
    parser.add_argument("--dies", action="store_true", help="prints the published dies beside the models, and ends")


def run(arguments: argparse.Namespace) -> int:
    """Prints the design; returns the exit status."""
    if arguments.dies:
        print(dies_text(), end="")
        return 0
    return ended("design", lambda: _run(arguments), f"what was measured is in {arguments.out}")


def _run(arguments: argparse.Namespace) -> int:
    result = design(arguments)
    files = _write_chips(result, arguments.out)
    print(text(result, arguments.base, files), end="")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(as_json(result), indent=1) + "\n")
    from mtia_sim.study.design_picture import draw_design

    draw_design(result, arguments.out / "design.png")
    print(f"picture: {arguments.out / 'design.png'}")
    if result.best is None:
        print(f"design: {nothing_fits(result)}", file=sys.stderr)
        return 2
    return 0 if repeats(result) else 1


def base_of(chip: Chip, process: str | None, stacks: int | None, prices: Path | None) -> Base:
    """A chip to derive candidates from; its cost is the price of a price file, where there is one."""
    silicon = silicon_of(chip, process, stacks)
    base = Base(chip, silicon)
    if prices is None:
        return base
    price = price_files.load(prices).of(chip.name).get("chip_dollars")
    if price is None:
        raise InvalidArgument(
            f"{prices} has no price of {chip.name}", remedy=f"add chip_dollars to [chips.{chip.name}]"
        )
    return Base(chip, silicon, price.value / dollars(chip, silicon, base.area))


def design(arguments: argparse.Namespace) -> Result:
    """The design asked for.

    Raises:
        MtiaError: A chip, workload, budget or range is wrong.
        RuntimeError: A measurement failed.
    """
    require_optuna()
    if arguments.workload is None:
        raise InvalidArgument("design needs a workload", remedy=f"give --workload {', '.join(WORKLOADS)}")
    for name in ("batch", "seq", "layers", "candidates", "processes"):
        if (value := getattr(arguments, name)) is not None and value < 1:
            raise InvalidArgument(f"--{name} {value} is not positive", remedy="give a number of 1 or more")
    for name in ("area", "power", "cost"):
        if (value := getattr(arguments, name)) is not None and not 0 < value < math.inf:
            raise InvalidArgument(f"--{name} {value} is no budget", remedy="give a number above 0")
    if arguments.workload not in WORKLOADS:
        own_workloads.locate(arguments.workload, WORKLOADS)
    make_room([arguments.json], arguments.out)
    base = base_of(chips.load(arguments.base), arguments.process, arguments.stacks, arguments.price)
    axes = parse_axes(base, arguments.vary) or default_axes(base)
    options = Options(arguments.batch, arguments.seq, arguments.dtype, parse_shape(arguments.shape), arguments.layers)
    question = Question(
        arguments.workload,
        options,
        axes,
        arguments.area,
        arguments.power,
        arguments.cost,
        arguments.candidates,
        arguments.seed,
    )
    asked = Design(base, question, arguments.out, arguments.processes)
    if asked.found_before:
        print(f"goes on from {asked.found_before} measurements in {arguments.out}", file=sys.stderr)
    return asked.run(show_progress)


def _write_chips(result: Result, folder: Path) -> list[str]:
    names = [f"front{place}" for place in range(1, len(result.front) + 1)]
    for old in folder.glob("front*.toml"):
        old.unlink()
    for name, point in zip(names, result.front, strict=True):
        (folder / f"{name}.toml").write_text(chip_text(point.candidate, name))
    return names
