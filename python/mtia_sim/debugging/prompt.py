"""The prompt of a breakpoint without a callback."""

import cmd
from pathlib import Path
from typing import Any

import numpy as np

from mtia_core.errors import LaunchFailure
from mtia_sim.debugging.stop import Stop


def ask(stop: Stop) -> str:
    """Asks until the program is to go on; returns how far. Raises LaunchFailure for quit."""
    prompt = Prompt(stop)
    prompt.cmdloop()
    return prompt.answer


class Prompt(cmd.Cmd):
    """Commands about one Stop; anything else is a Python expression over the kernel's variables."""

    prompt = "(mtia) "

    def __init__(self, stop: Stop) -> None:
        super().__init__()
        self.stop = stop
        self.answer = "run"
        self.use_rawinput = True
        place = f"{Path(stop.file).name}:{stop.line}"
        self.intro = f"> {stop.kernel}, program {stop.program} on PE {stop.pe}, {place}\n-> {stop.source.strip()}"

    def _go(self, answer: str) -> bool:
        self.answer = answer
        return True

    def do_continue(self, _: str) -> bool:
        """continue: run to the next time that the line is reached."""
        return self._go("run")

    def do_next(self, _: str) -> bool:
        """next: run to the program's next line."""
        return self._go("next")

    def do_step(self, _: str) -> bool:
        """step: run one instruction."""
        return self._go("step")

    def do_finish(self, _: str) -> bool:
        """finish: run to the end of the launch without further stops."""
        return self._go("finish")

    def do_quit(self, _: str) -> bool:
        """quit: end the launch with an error."""
        raise LaunchFailure(f"kernel {self.stop.kernel} was ended at a breakpoint", remedy="launch it again")

    def do_variables(self, _: str) -> None:
        """variables: names, shapes and dtypes of what lies in local memory and registers."""
        for name in self.stop:
            value = self.stop[name]
            kind = self.stop.dtype(name)
            text = f"{'x'.join(map(str, value.shape))}x{kind}" if isinstance(value, np.ndarray) else f"{kind} = {value}"
            print(f"  {name}: {text}")

    def do_list(self, _: str) -> None:
        """list: the source around the line."""
        try:
            lines = Path(self.stop.file).read_text().splitlines()
        except OSError as error:
            print(error)
            return
        for number in range(max(1, self.stop.line - 5), min(len(lines), self.stop.line + 5) + 1):
            print(f"{number:5d} {'->' if number == self.stop.line else '  '} {lines[number - 1]}")

    def do_where(self, _: str) -> None:
        """where: the instruction that is about to run."""
        print(f"  {self.stop!r}\n  instruction {self.stop.instruction}: {self.stop.disassembly}")

    def do_p(self, text: str) -> None:
        """p EXPRESSION: a Python expression over the kernel's variables; np is numpy."""
        names: dict[str, Any] = {"np": np, **{name: self.stop[name] for name in self.stop}}
        try:
            print(eval(text, {}, names))
        except Exception as error:
            print(f"{type(error).__name__}: {error}")

    do_c, do_n, do_s, do_q, do_l, do_w, do_v, do_info = (
        do_continue,
        do_next,
        do_step,
        do_quit,
        do_list,
        do_where,
        do_variables,
        do_variables,
    )

    def default(self, line: str) -> bool | None:  # type: ignore[override]
        if line == "EOF":
            return self._go("finish")
        self.do_p(line)
        return None

    def emptyline(self) -> bool:
        return False
