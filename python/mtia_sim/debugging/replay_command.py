"""Runs a launch that torch.mtia_sim.record stored, alone, and says whether it repeats."""

import argparse
import sys

from mtia_core.errors import MtiaError


def _program(text: str) -> tuple[int, int, int]:
    parts = text.split(",")
    if len(parts) > 3 or not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is no program id; give X, X,Y or X,Y,Z")
    x, y, z = (*map(int, parts), 0, 0)[:3]
    return x, y, z


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.epilog = "A recording of your own C++ kernel holds machine code: replay only what you trust."
    parser.add_argument("path", help="what record() stored")
    parser.add_argument("--program", type=_program, metavar="X,Y,Z", help="run this program of the grid alone")
    parser.add_argument("--pe", type=int, metavar="N", help="run what processing element N runs, alone")
    parser.add_argument("--step", action="store_true", help="print each instruction before it runs (tile programs)")
    parser.add_argument("--check", action="store_true", help="exit with status 1 unless the launch repeats exactly")


def run(parsed: argparse.Namespace) -> int:
    """Replays, prints what happened; status 0, 1 where --check finds a difference, 2 for a bad recording."""
    from mtia_sim.debugging.recording import replay

    def show(program: tuple[int, int, int], pe: int, instruction: int, line: str, text: str) -> None:
        print(f"program {tuple(program)} PE {pe} {instruction:5d}  {text}{f'  ; {line}' if line else ''}")

    try:
        result = replay(parsed.path, program=parsed.program, pe=parsed.pe, step=show if parsed.step else None)
    except MtiaError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"kernel {result.kernel}{f', launched by {result.launched_by}' if result.launched_by else ''}")
    if result.error:
        print(f"failed: {result.error}")
    if not result.whole:
        print("ran a part of the grid; its memory is not compared")
        return 0
    if result.error != result.recorded_error:
        print(f"when recorded: {result.recorded_error or 'it succeeded'}")
    elif result.error:
        print("with the same message as when it was recorded")
    elif result.differences:
        places = ", ".join(f"{address:#x}" for address in result.first_differences[:4])
        print(
            f"{result.differences} of {result.compared_bytes} bytes differ from the recorded launch's, at {places}, ..."
        )
    else:
        print(f"{result.cycles} cycles; all {result.compared_bytes} bytes that it touched are as recorded")
    return 1 if parsed.check and not result.repeats else 0
