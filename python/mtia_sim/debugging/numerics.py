"""torch.mtia_sim.numerics: what makes NaNs and infinities, and which operator loses precision."""

import warnings
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, overload

from mtia_core.errors import InvalidArgument, NonFinite
from mtia_sim import _C
from mtia_sim.debugging.comparison import OperatorComparison
from mtia_sim.debugging.monitors import Monitored

Action = Literal["raise", "warn", "collect"]


@dataclass(frozen=True)
class Contribution:
    """An input of the arithmetic that made a NaN or an infinity.

    `name` is what the kernel's source calls it ("" where it has no name), `type` its shape and dtype ("32x64xf32"),
    `elements` how many of its elements the value was computed from, and `values` these: all of up to eight, else those
    that are not finite and the largest.
    """

    name: str
    type: str
    elements: int
    values: tuple[float, ...]


@dataclass(frozen=True)
class NonFiniteValue:
    """Arithmetic that made a NaN or an infinity which then reached memory.

    `program` is the program id, None for a C++ kernel; `instruction` its number in the tile program (of a C++ kernel:
    of the call on PE `pe`) and `disassembly` its text. `file` and `line` are the kernel's source. `result`, of
    `result_type`, is what the source calls the result, `index` the place of `value` in it. `launched_by` names the
    operator and the line of Python: "aten::exp at train.py:42".
    """

    kernel: str
    program: tuple[int, int, int] | None
    pe: int
    instruction: int
    disassembly: str
    file: str
    line: int
    result: str
    result_type: str
    index: tuple[int, ...]
    value: float
    inputs: tuple[Contribution, ...]
    launched_by: str
    where: str
    problem: str

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}"


class NonFiniteFinder(Monitored):
    """A context in which every launch is looked at; see numerics()."""

    def __init__(self, infinities: bool, action: Action, device: int | None, journal_bytes: int) -> None:
        if action not in ("raise", "warn", "collect"):
            raise InvalidArgument(f"numerics(action={action!r})", remedy='choose "raise", "warn" or "collect"')
        super().__init__(device)
        self._infinities = infinities
        self._action = action
        self._journal_bytes = journal_bytes

    def _make_monitor(self) -> Any:
        return _C.NumericsMonitor(self._device, self._infinities, self._action == "raise", self._journal_bytes)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, traceback)
        if self._action == "warn":
            for finding in self.findings:
                warnings.warn(str(NonFinite(finding.problem, finding.where)), stacklevel=2)

    @property
    def findings(self) -> list[NonFiniteValue]:
        """What made a NaN or an infinity, in the order of the launches; at most one a launch."""
        if self._monitor is None:
            return []
        result = []
        for contents in self._monitor.findings():
            inputs = tuple(
                Contribution(name, kind, elements, tuple(values))
                for name, kind, elements, values in contents.pop("inputs")
            )
            result.append(NonFiniteValue(inputs=inputs, **contents))
        return result

    @property
    def launches(self) -> tuple[int, int, int]:
        """Launches looked at; of these run again, one instruction at a time; and left out, because they overwrite
        more than `journal_bytes`."""
        return (0, 0, 0) if self._monitor is None else self._monitor.counts()

    def __str__(self) -> str:
        looked_at, again, too_large = self.launches
        lines = [f"{looked_at} launches, {again} run again in steps, {len(self.findings)} with new NaNs or infinities"]
        if too_large:
            lines.append(f"{too_large} launches overwrite more than {self._journal_bytes} bytes: not looked at")
        return "\n".join([*lines, *(f"  {finding}" for finding in self.findings)])


@overload
def numerics(
    compare: None = None,
    *,
    infinities: bool = True,
    action: Action = "raise",
    device: int | None = None,
    journal_bytes: int = 4 << 30,
) -> NonFiniteFinder: ...


@overload
def numerics(
    compare: Literal["float64"],
    *,
    infinities: bool = True,
    action: Action = "raise",
    device: int | None = None,
    journal_bytes: int = 4 << 30,
) -> OperatorComparison: ...


def numerics(
    compare: Literal["float64"] | None = None,
    *,
    infinities: bool = True,
    action: Action = "raise",
    device: int | None = None,
    journal_bytes: int = 4 << 30,
) -> NonFiniteFinder | OperatorComparison:
    """A context manager that looks at the numbers which launches write (docs/debugging.md).

    Without `compare` it finds what makes NaNs, and infinities from finite numbers: the first one raises
    mtia_core.errors.NonFinite where it was launched, with operator, line, kernel, program, instruction, the value's
    index and the values it was made from. NaNs and infinities that come from the launch's own inputs or constants,
    such as the -inf of a mask, are nobody's fault. `infinities=False` looks for NaN only; `action="collect"` goes on
    and keeps `findings`, "warn" warns of them at the end.

    With `compare="float64"` each operator runs again on the CPU in float64, and each Triton kernel launched outside of
    operators in float64 on the emulator, on the same inputs; the context's `rows` rank them by error.

    `device` is the device's index, the current one without. `journal_bytes` bounds the memory that keeps what a launch
    overwrites. Launches are waited for one by one, and the account of time is not meant to be read.
    """
    if compare is None:
        return NonFiniteFinder(infinities, action, device, journal_bytes)
    if compare != "float64":
        raise InvalidArgument(f"numerics(compare={compare!r})", remedy='compare with "float64"')
    return OperatorComparison(device, journal_bytes)
