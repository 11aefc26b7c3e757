"""Where the time goes: chip time and energy by kernel, operator and module, and what bounds each."""

import itertools
from types import TracebackType
from typing import Any, Self

from mtia_sim import _C
from mtia_sim.counters import kernel_totals
from mtia_sim.reporting.purposes import Purposes
from mtia_sim.reporting.table import Breakdown, breakdown


class report:
    """Records where chip time and energy go: `with torch.mtia_sim.report() as report: step()`, then `print(report)`.

    By operator and by module (forward and backward), which costs some microseconds of host time an operator; in both
    modes of a device.

    Args:
        device: A device or its index; None: the current one.
    """

    def __init__(self, device: Any = None) -> None:
        self._totals = kernel_totals(device)
        self._purposes = Purposes()

    def __enter__(self) -> Self:
        self._totals.__enter__()
        self._purposes.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._purposes.__exit__(kind, error, trace)
        _C.set_purpose(0)
        self._totals.__exit__(kind, error, trace)

    def by_kernel(self) -> Breakdown:
        """Rows by kernel, copy and fill."""
        return breakdown(self._totals.rows(), lambda row: str(row["name"]))

    def by_operator(self) -> Breakdown:
        """Rows by ATen operator."""
        return breakdown(self._totals.rows(), lambda row: self._purposes.of(row["purpose"]).operator)

    def by_module(self, depth: int | None = None) -> Breakdown:
        """Rows by module, as named_modules() names it from the outermost one that was called; `depth` names deep."""

        def name(row: dict[str, Any]) -> str:
            module = self._purposes.of(row["purpose"]).module
            return module if depth is None else ".".join(itertools.islice(module.split("."), depth))

        return breakdown(self._totals.rows(), name)

    def __str__(self) -> str:
        parts = (("kernel", self.by_kernel()), ("operator", self.by_operator()), ("module", self.by_module()))
        return "\n".join(part.text(title) for title, part in parts)


__all__ = ["report"]
