"""Results that torch leaves open: random numbers, what memory held, indices of equal values.

A row of CHECKS says what holds of any right answer of an operator; it takes the place of a comparison leaf by leaf.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.testing._internal.opinfo.core import SampleInput
from torch.utils import _pytree as pytree

from tests.conformance.opinfo import catalogue, gauge
from tests.conformance.opinfo.comparison import DEVICE, compare

# Of a sample on the CPU, and both results.
Check = Callable[[SampleInput, Any, Any], None]

# Operands that stay on the host on every device.
HOST_OPERANDS = frozenset(("tensor_split",))
# Whose gradients follow an index that is open where values are equal.
_TIED = frozenset(("sort", "msort", "topk", "kthvalue", "mode", "argsort"))
_COUNTED = frozenset(("topk", "kthvalue"))  # whose first argument is a number of elements


def _position(sample: SampleInput, name: str, place: int, otherwise: int) -> int:
    return int(sample.kwargs.get(name, sample.args[place] if len(sample.args) > place else otherwise))


def _hold_indices(sample: SampleInput, dim: int, ours: torch.Tensor, values: torch.Tensor) -> None:
    """The values lie in the sample's input where the indices along ``dim`` say, each index once."""
    if ours.dtype != torch.int64 or ours.shape != values.shape:
        raise AssertionError(f"indices: {ours.dtype}{list(ours.shape)}, CPU torch's are {list(values.shape)} of int64")
    source, indices, values = sample.input.detach(), ours.cpu(), values.detach()
    if source.dim() == 0 or values.numel() == 0:
        return
    if indices.dim() < source.dim():
        indices, values = indices.unsqueeze(dim), values.unsqueeze(dim)
    torch.testing.assert_close(source.gather(dim, indices), values, rtol=0, atol=0, equal_nan=True)
    if (indices.sort(dim).values.diff(dim=dim) == 0).any():
        raise AssertionError("indices: one of them is there twice")


def _same_values(dim_place: int) -> Check:
    """(values, indices) along a dimension: the values agree, and lie where the indices say."""

    def check(sample: SampleInput, ours: Any, theirs: Any) -> None:
        compare(ours[0], theirs[0], place="values")
        _hold_indices(sample, _position(sample, "dim", dim_place, -1), ours[1], theirs[0])

    return check


def _same_order(sample: SampleInput, ours: Any, theirs: Any) -> None:
    """Indices alone, which put equal values in the same order."""
    source = sample.input.detach()
    dim = _position(sample, "dim", 0, -1)
    _hold_indices(sample, dim, ours, source.gather(dim, theirs) if source.dim() else source)


def _same_kind(sample: SampleInput, ours: Any, theirs: Any) -> None:
    """Device, shape, dtype and strides of random results; tests/operators looks at the numbers."""
    del sample
    for one, two in zip(pytree.tree_leaves(ours), pytree.tree_leaves(theirs), strict=True):
        if isinstance(two, torch.Tensor):
            for name, mine, other in (
                ("device", one.device.type, DEVICE.type),
                ("shape", one.shape, two.shape),
                ("dtype", one.dtype, two.dtype),
                ("strides", one.stride(), two.stride()),
            ):
                if mine != other:
                    raise AssertionError(f"{name} {mine}, CPU torch's is {other}")


CHECKS: dict[str, Check] = {
    "sort": _same_values(0),
    "topk": _same_values(1),
    "kthvalue": _same_values(1),
    "mode": _same_values(0),
    "argsort": _same_order,
    **gauge.CHECKS,
}


def _draws_nothing(entry: catalogue.Entry, sample: SampleInput) -> bool:
    """A dropout that is off."""
    if not entry.operator.startswith("nn.functional.") or "pool" in entry.operator:
        return False
    return sample.kwargs.get("training") is False or sample.kwargs.get("p") == 0


def is_random(entry: catalogue.Entry, sample: SampleInput) -> bool:
    """Whether a sample draws random numbers, or shows what memory held."""
    if catalogue.family(entry.operator) == "random":
        return not _draws_nothing(entry, sample)
    if entry.operator == "nn.functional.scaled_dot_product_attention":
        return float(sample.kwargs.get("dropout_p", 0.0)) > 0
    if entry.operator == "nn.functional.multi_head_attention_forward":
        return bool(sample.kwargs.get("training")) and sample.args[9] > 0
    return False


def check_of(entry: catalogue.Entry, sample: SampleInput) -> Check | None:
    """What is asked of a sample's result, or None for agreement leaf by leaf."""
    if is_random(entry, sample):
        return _same_kind
    if entry.operator in ("sort", "argsort") and sample.kwargs.get("stable"):
        return None
    return CHECKS.get(entry.operator)


def has_open_gradient(entry: catalogue.Entry, sample: SampleInput) -> bool:
    """Whether the gradient depends on which of equal values an operator chose, or on random numbers."""
    if is_random(entry, sample):
        return True
    source = sample.input
    if entry.operator not in _TIED or not isinstance(source, torch.Tensor) or sample.kwargs.get("stable"):
        return False
    if source.dim() == 0 or source.numel() == 0:
        return False
    dim = 0 if entry.operator == "msort" else _position(sample, "dim", 1 if entry.operator in _COUNTED else 0, -1)
    ordered = source.detach().sort(dim).values
    return bool((ordered.diff(dim=dim) == 0).any())
