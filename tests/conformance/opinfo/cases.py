"""torch's OpInfo database as pytest cases: one an operator, dtype and direction, held against CPU torch.

The conformance runner collects this file (suite `opinfo`), and tests/operators/test_opinfo.py calls it. Every sample of
a case runs; the error of a case names the first sample that failed, and counts how many did.
"""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch.testing._internal.opinfo.core import OpInfo, SampleInput
from torch.utils import _pytree as pytree

from tests.conformance.opinfo import catalogue, freedom, gauge
from tests.conformance.opinfo.comparison import DEVICE, Mover, compare, to_higher

DTYPES = (*catalogue.JUDGED, *catalogue.OTHERS)
SEED = 20261130


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _cases(direction: str) -> list[Any]:
    found = []
    for entry in catalogue.entries():
        info = entry.info
        for dtype in DTYPES:
            if dtype in dtypes_of(info, direction):
                found.append(pytest.param(entry, dtype, id=f"{_name(dtype)}-{entry.name}"))
    return found


def dtypes_of(info: OpInfo, direction: str) -> set[torch.dtype]:
    """The dtypes in which an operator has this direction on the CPU."""
    if direction == "backward":
        differentiable = info.backward_dtypes if info.supports_autograd else ()
        return {dtype for dtype in differentiable if dtype.is_floating_point or dtype.is_complex}
    has = {"forward": True, "out": info.supports_out, "inplace": info.inplace_variant is not None}
    return set(info.dtypes) if has[direction] else set()


class Failures:
    """Counts the samples that failed; at the end the first of them is the case's error."""

    def __init__(self) -> None:
        self.samples = 0
        self._failed: list[tuple[str, Exception]] = []

    @contextlib.contextmanager
    def sample(self, sample: SampleInput) -> Iterator[None]:
        self.samples += 1
        try:
            yield
        except Exception as error:  # any error is the sample's result
            self._failed.append((_describe(sample), error))

    def leave_out(self) -> None:
        """The sample under way shows nothing."""
        self.samples -= 1

    def conclude(self) -> None:
        if not self.samples:
            pytest.skip("no sample")
        if self._failed:
            description, first = self._failed[0]
            first.add_note(f"{len(self._failed)} of {self.samples} samples failed; the first: {description}")
            raise AssertionError(
                f"{type(first).__name__}: {first}\n{len(self._failed)} of {self.samples} samples failed; "
                f"the first: {description}"
            ) from first


def _describe(sample: SampleInput) -> str:
    def brief(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return f"{_name(value.dtype)}{list(value.shape)}"
        if isinstance(value, list | tuple):
            return type(value)(map(brief, value)) if type(value) in (list, tuple) else str(value)
        return value

    keywords = {name: brief(value) for name, value in sample.kwargs.items()}
    return f"{brief(sample.input)}, {brief(list(sample.args))}, {keywords}"[:400]


def _samples(entry: catalogue.Entry, dtype: torch.dtype, requires_grad: bool = False) -> Iterator[SampleInput]:
    torch.manual_seed(SEED)
    yield from entry.info.sample_inputs("cpu", dtype, requires_grad=requires_grad)


def _exact(sample: SampleInput, call: Callable[..., Any]) -> Any:
    """The sample's result in higher precision, or None where CPU torch does not compute it."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # what integers become
    try:
        return call(sample.transform(to_higher))
    except Exception:
        return None
    finally:
        torch.set_default_dtype(default)


def _refuse_alike(refusal: Exception, call: Callable[..., Any], *arguments: Any) -> None:
    """Raises AssertionError unless the device refuses what CPU torch refused, and not for want of a kernel."""
    try:
        call(*arguments)
        torch.accelerator.synchronize()
    except Exception as ours:
        lacks = isinstance(ours, NotImplementedError) and not isinstance(refusal, NotImplementedError)
        if lacks or not isinstance(ours, type(refusal)):
            raise AssertionError(f"refused as {type(ours).__name__}: {ours}; CPU torch: {refusal!r}") from ours
        return
    raise AssertionError(f"not refused; CPU torch: {refusal!r}")


def _hold(entry: catalogue.Entry, sample: SampleInput, ours: Any, theirs: Any, call: Callable[..., Any]) -> None:
    """Raises AssertionError unless the device's result is right."""
    torch.accelerator.synchronize()
    check = freedom.check_of(entry, sample)
    if check is None:
        compare(ours, theirs, _exact(sample, call))
    else:
        check(sample, ours, theirs)


def _higher_leaf(value: Any) -> Any:
    higher = to_higher(value)
    return higher.requires_grad_(value.requires_grad) if isinstance(value, torch.Tensor) else higher


def _on_device(sample: SampleInput) -> contextlib.AbstractContextManager[Any]:
    """Where a factory makes its tensor: on the device, where no operand says so."""
    given = pytree.tree_leaves((sample.input, sample.args, sample.kwargs))
    return contextlib.nullcontext() if any(isinstance(value, torch.Tensor) for value in given) else DEVICE


def _call(operation: Callable[..., Any]) -> Callable[[SampleInput], Any]:
    return lambda sample: operation(sample.input, *sample.args, **sample.kwargs)


def _moved(entry: catalogue.Entry, sample: SampleInput) -> SampleInput:
    mover = Mover()
    operands = sample if entry.operator in freedom.HOST_OPERANDS else None
    return SampleInput(
        mover(sample.input),
        args=operands.args if operands else mover(tuple(sample.args)),
        kwargs=operands.kwargs if operands else mover(dict(sample.kwargs)),
        output_process_fn_grad=sample.output_process_fn_grad,
        broadcasts_input=sample.broadcasts_input,
        name=sample.name,
    )


def _copy(sample: SampleInput) -> SampleInput:
    """A sample whose input may be written to."""
    return SampleInput(sample.input.clone(), args=sample.args, kwargs=sample.kwargs)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize(("entry", "dtype"), _cases("forward"))
def test_forward(entry: catalogue.Entry, dtype: torch.dtype) -> None:
    call = _call(entry.info.op)
    failures = Failures()
    for sample in _samples(entry, dtype):
        moved = _moved(entry, sample)
        with failures.sample(sample):
            torch.manual_seed(SEED)
            theirs = call(sample)
            torch.manual_seed(SEED)
            with _on_device(moved):
                ours = call(moved)
            _hold(entry, sample, ours, theirs, call)
    failures.conclude()


def _gradients(call: Callable[[SampleInput], Any], sample: SampleInput, seed: list[torch.Tensor] | None) -> Any:
    """Gradients of what requires them, and the random vectors that they were pulled back along."""
    inputs = [
        value
        for value in pytree.tree_leaves((sample.input, sample.args, sample.kwargs))
        if isinstance(value, torch.Tensor) and value.requires_grad
    ]
    result = sample.output_process_fn_grad(call(sample))
    outputs = [value for value in pytree.tree_leaves(result) if isinstance(value, torch.Tensor) and value.requires_grad]
    if not outputs or not inputs:
        return [], seed or []
    if seed is None:
        seed = [torch.randn_like(value, device="cpu") for value in outputs]
    vectors = [one.to(device=value.device, dtype=value.dtype) for one, value in zip(seed, outputs, strict=True)]
    return torch.autograd.grad(outputs, inputs, vectors, allow_unused=True), seed


@pytest.mark.parametrize(("entry", "dtype"), _cases("backward"))
def test_backward(entry: catalogue.Entry, dtype: torch.dtype) -> None:
    operation = entry.info.gradcheck_wrapper

    def call(sample: SampleInput) -> Any:
        return gauge.in_order(entry.operator, operation(entry.info.op, sample.input, *sample.args, **sample.kwargs))

    failures = Failures()
    for sample in _samples(entry, dtype, requires_grad=True):
        if freedom.has_open_gradient(entry, sample):
            continue
        moved = _moved(entry, sample)
        with failures.sample(sample):
            torch.manual_seed(SEED)
            try:
                theirs, seed = _gradients(call, sample, None)
            except Exception:  # what CPU torch cannot differentiate is no sample
                failures.leave_out()
                continue
            if not theirs:
                failures.leave_out()
            torch.manual_seed(SEED)
            ours, _ = _gradients(call, moved, seed)
            exact = None
            with contextlib.suppress(Exception):
                exact, _ = _gradients(call, sample.transform(_higher_leaf), seed)
            compare(ours, theirs, exact, "gradient")
    failures.conclude()


def _outputs(flat: list[torch.Tensor], kind: str, device: torch.device) -> list[torch.Tensor]:
    """What to give as `out=`: of the right size and poisoned, or of size 0, which is resized."""
    if kind == "empty":
        return [one.new_empty(0, device=device) for one in flat]
    outs = [torch.empty_like(one, device=device) for one in flat]
    for one in outs:
        one.fill_(7)
    return outs


@pytest.mark.parametrize(("entry", "dtype"), _cases("out"))
def test_out(entry: catalogue.Entry, dtype: torch.dtype) -> None:
    """`out=` of the right size, and of size 0, which is resized."""
    call = _call(entry.info.op)
    failures = Failures()

    def write(sample: SampleInput, outs: list[torch.Tensor], single: bool) -> Any:
        out = outs[0] if single else tuple(outs)
        with _on_device(sample) if outs[0].device == DEVICE else contextlib.nullcontext():
            returned = entry.info.op(sample.input, *sample.args, **sample.kwargs, out=out)
        if single and returned is not out:
            raise AssertionError("out: what is returned is not what was given")
        return out

    for sample in _samples(entry, dtype):
        moved = _moved(entry, sample)
        with failures.sample(sample):
            results = call(sample)
            flat = [results] if isinstance(results, torch.Tensor) else list(pytree.tree_leaves(results))
            if not all(isinstance(one, torch.Tensor) and one.layout is torch.strided for one in flat):
                failures.leave_out()  # no tensors to write into
                continue
            single = isinstance(results, torch.Tensor)
            for kind in ("same", "empty"):
                theirs, ours = (_outputs(flat, kind, device) for device in (torch.device("cpu"), DEVICE))
                try:
                    expected = write(sample, theirs, single)
                except Exception as refusal:
                    _refuse_alike(refusal, write, moved, ours, single)
                    continue
                _hold(entry, sample, write(moved, ours, single), expected, call)
    failures.conclude()


@pytest.mark.parametrize(("entry", "dtype"), _cases("inplace"))
def test_inplace(entry: catalogue.Entry, dtype: torch.dtype) -> None:
    operation = entry.info.inplace_variant
    failures = Failures()
    for sample in _samples(entry, dtype):
        if sample.broadcasts_input:
            continue
        theirs_in, ours_in = _copy(sample), _copy(_moved(entry, sample))
        with failures.sample(sample):
            try:
                theirs: Any = operation(theirs_in.input, *theirs_in.args, **theirs_in.kwargs)
            except Exception as refusal:
                _refuse_alike(refusal, _call(operation), ours_in)
                continue
            ours = operation(ours_in.input, *ours_in.args, **ours_in.kwargs)
            if ours is not ours_in.input:
                raise AssertionError("in place: what is returned is not what was given")
            _hold(entry, sample, ours, theirs, _call(entry.info.op))
    failures.conclude()


@pytest.mark.parametrize("entry", [pytest.param(e, id=e.name) for e in catalogue.entries() if e.info.error_inputs_func])
def test_errors(entry: catalogue.Entry) -> None:
    """What CPU torch refuses is refused with the same class of error."""
    failures = Failures()
    for wrong in entry.info.error_inputs("cpu"):
        sample = wrong.sample_input
        moved = _moved(entry, sample)
        with failures.sample(sample):
            try:
                _call(entry.info.op)(sample)
            except Exception as refusal:
                with _on_device(moved):
                    _refuse_alike(refusal, _call(entry.info.op), moved)
            else:
                failures.leave_out()  # CPU torch itself takes it
    failures.conclude()
