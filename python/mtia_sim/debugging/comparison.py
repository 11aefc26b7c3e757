"""torch.mtia_sim.numerics(compare="float64"): each operator beside a float64 reference, ranked by error."""

import math
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from mtia_sim import _C
from mtia_sim.debugging.monitors import Monitored
from mtia_sim.debugging.references import REFERENCES

# Nothing is computed, or nothing that repeats.
_MOVES_TEXT = """
empty empty_like empty_strided new_empty new_empty_strided zeros zeros_like ones ones_like full full_like new_full
new_zeros new_ones fill_ zero_ copy_ _to_copy clone contiguous detach alias view _unsafe_view reshape _reshape_alias
expand permute transpose t unsqueeze squeeze slice select split split_with_sizes chunk unbind as_strided cat stack
index_select gather embedding arange lift_fresh _local_scalar_dense resize_ set_ is_pinned _pin_memory record_stream
repeat roll flip where masked_fill masked_fill_ tril triu constant_pad_nd narrow movedim unfold
"""
_MOVES = frozenset(_MOVES_TEXT.split())


@dataclass
class ErrorRow:
    """An operator, or a Triton kernel launched outside of operators, at one line.

    `kind` is "operator" or "kernel". Errors are relative: the norm of the difference to the float64 reference over the
    reference's norm, of the worst output of a call; `ulps` is the largest difference of an element in units of the last
    place of its dtype, at the reference's element or its root mean square, whichever is larger. `skipped` says why
    there are no errors.
    """

    name: str
    kind: str
    line: str
    dtypes: tuple[str, ...] = ()
    shapes: tuple[tuple[int, ...], ...] = ()
    calls: int = 0
    worst: float = 0.0
    mean: float = 0.0
    ulps: float = 0.0
    skipped: str = ""


@dataclass
class _Sum:
    row: ErrorRow
    total: float = field(default=0.0)


class OperatorComparison(Monitored):
    """A context in which each operator runs beside a float64 reference; see mtia_sim.debugging.numerics."""

    def __init__(self, device: int | None, journal_bytes: int) -> None:
        super().__init__(device)
        self._journal_bytes = journal_bytes
        self._sums: dict[tuple[str, str], _Sum] = {}
        self._mode = _ComparisonMode(self)

    def _make_monitor(self) -> Any:
        return _C.ComparisonMonitor(self._device, self._journal_bytes)

    def __enter__(self) -> Self:
        super().__enter__()
        self._mode.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._mode.__exit__(kind, error, traceback)
        super().__exit__(kind, error, traceback)

    @property
    def rows(self) -> list[ErrorRow]:
        """Operators and kernels, the largest mean error first; what was not compared comes last."""
        rows = [item.row for item in self._sums.values()]
        for name, line, dtypes, calls, _, worst, total, ulps, skipped in (
            self._monitor.errors() if self._monitor else ()
        ):
            if calls or skipped:
                mean = total / calls if calls else 0.0
                listed = tuple(dtypes.split(", ")) if dtypes else ()
                rows.append(ErrorRow(name, "kernel", line, listed, (), calls, worst, mean, ulps, skipped))
        return sorted(rows, key=lambda row: (bool(row.skipped), -row.mean, row.name))

    def text(self, most: int = 30) -> str:
        """A table of the first `most` rows."""
        rows = self.rows
        lines = [f"{'worst':>9} {'mean':>9} {'ULPs':>9} {'calls':>6}  {'name':36} {'dtypes':18} {'shapes':36} line"]
        for row in rows[:most]:
            shapes = " ".join("x".join(map(str, shape)) or "()" for shape in row.shapes)
            head = f"{row.name:36} {','.join(row.dtypes):18} {shapes:36} {row.line}"
            if row.skipped:
                lines.append(f"{'':>9} {'':>9} {'':>9} {row.calls:6d}  {head}  not compared: {row.skipped}")
            else:
                lines.append(f"{row.worst:9.2e} {row.mean:9.2e} {row.ulps:9.1f} {row.calls:6d}  {head}")
        if len(rows) > most:
            lines.append(f"... and {len(rows) - most} more")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text()

    def _add(self, name: str, line: str, outputs: "list[tuple[torch.Tensor, torch.Tensor]]") -> None:
        item = self._item(name, line, [chip for chip, _ in outputs])
        relative = max((_relative_error(chip, reference) for chip, reference in outputs), default=0.0)
        row = item.row
        row.calls += 1
        item.total += relative
        row.mean = item.total / row.calls
        row.worst = max(row.worst, relative)
        row.ulps = max(row.ulps, *(_ulps(chip, reference) for chip, reference in outputs))

    def _skip(self, name: str, line: str, outputs: list[torch.Tensor], why: str) -> None:
        row = self._item(name, line, outputs).row
        row.calls += 1
        row.skipped = why

    def _item(self, name: str, line: str, outputs: list[torch.Tensor]) -> _Sum:
        item = self._sums.get((name, line))
        if item is None:
            row = ErrorRow(name, "operator", line)
            item = self._sums[name, line] = _Sum(row)
        item.row.dtypes = tuple(dict.fromkeys(str(output.dtype).removeprefix("torch.") for output in outputs))
        item.row.shapes = tuple(tuple(output.shape) for output in outputs[:3])
        return item


class _ComparisonMode(TorchDispatchMode):
    """Runs each operator on the chip, and on the CPU in float64 on the chip's own inputs."""

    def __init__(self, comparison: OperatorComparison) -> None:
        super().__init__()
        self._comparison = comparison

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if func.is_view or not _on_chip(args, kwargs):
            return func(*args, **kwargs)
        comparison = self._comparison
        repeats = name in REFERENCES or torch.Tag.nondeterministic_seeded not in func.tags
        compared = name not in _MOVES and repeats
        inputs = tree_map(_to_reference, (args, _reference_dtype(kwargs))) if compared else ((), {})
        comparison._monitor.set_enabled(False)
        try:
            result = func(*args, **kwargs)
        finally:
            comparison._monitor.set_enabled(True)
        if not compared:
            return result
        outputs = _floats(_written(func, args, kwargs, result))
        if not outputs:
            return result
        line = _C.python_line()
        try:
            reference = REFERENCES.get(name, func)(*inputs[0], **inputs[1])
        except (NotImplementedError, RuntimeError, TypeError) as error:
            why = str(error).strip().splitlines()[0][:80] if str(error).strip() else type(error).__name__
            comparison._skip(f"aten::{name}", line, outputs, why)
            return result
        references = _floats(_written(func, inputs[0], inputs[1], reference))
        comparison._add(f"aten::{name}", line, list(zip(outputs, references, strict=False)))
        return result


def _on_chip(args: Any, kwargs: Any) -> bool:
    return any(
        isinstance(item, torch.Tensor) and item.device.type == "mtia_sim" for item in tree_flatten((args, kwargs))[0]
    )


def _to_reference(item: Any) -> Any:
    """A tensor of the chip on the CPU, floats as float64; a device as the CPU."""
    if isinstance(item, torch.Tensor):
        copy = item.detach().cpu()
        return copy.double() if copy.is_floating_point() else copy.clone()
    if isinstance(item, torch.device):
        return torch.device("cpu")
    return item


def _reference_dtype(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {
        name: torch.float64 if isinstance(item, torch.dtype) and item.is_floating_point else item
        for name, item in kwargs.items()
    }


def _written(func: Any, args: Any, kwargs: Any, result: Any) -> list[torch.Tensor]:
    """The results of a call, and the arguments that it writes."""
    written = list(tree_flatten(result)[0])
    for place, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            item = kwargs.get(argument.name, args[place] if place < len(args) else None)
            written.extend(part for part in tree_flatten(item)[0] if all(part is not known for known in written))
    return [item for item in written if isinstance(item, torch.Tensor)]


def _floats(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    return [tensor for tensor in tensors if tensor.is_floating_point() and tensor.numel()]


def _relative_error(chip: torch.Tensor, reference: torch.Tensor) -> float:
    """Norm of the difference over the norm of the reference; infinite where one of the two is not finite."""
    actual, expected = chip.detach().cpu().double(), reference.detach().double()
    if actual.shape != expected.shape:
        return math.inf
    finite = actual.isfinite() & expected.isfinite()
    same = (actual == expected) | (actual.isnan() & expected.isnan())
    if not bool((finite | same).all()):
        return math.inf
    difference = torch.linalg.vector_norm((actual - expected)[finite]).item()
    norm = torch.linalg.vector_norm(expected[finite]).item()
    return difference / norm if norm else (math.inf if difference else 0.0)


def _ulps(chip: torch.Tensor, reference: torch.Tensor) -> float:
    """The largest difference in units of the last place of the chip's dtype."""
    actual, expected = chip.detach().cpu().double(), reference.detach().double()
    if actual.shape != expected.shape:
        return math.inf
    finite = actual.isfinite() & expected.isfinite()
    actual, expected = actual[finite], expected[finite]
    if not actual.numel():
        return 0.0
    scale = expected.abs().clamp_min(expected.square().mean().sqrt().item())
    unit = torch.exp2(torch.floor(torch.log2(scale))) * torch.finfo(chip.dtype).eps
    return torch.where(scale > 0, (actual - expected).abs() / unit, 0.0).max().item()
