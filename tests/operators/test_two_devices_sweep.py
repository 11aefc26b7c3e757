"""Every operator refuses an operand that was left on the CPU, or is the only one on the device, whichever it is."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.utils._pytree import tree_flatten, tree_unflatten

from tests.operators.comparison import DEVICE

# They ask one operand for its sizes alone, copy it to the other's device, or take indices from the CPU.
TAKES_BOTH = {
    "_unsafe_masked_index",
    "_unsafe_masked_index_put_accumulate",
    "addr",
    "as_strided_scatter",
    "broadcast_tensors",
    "diagonal_scatter",
    "expand_as",
    "index_put",
    "nn.functional.ctc_loss",
    "reshape_as",
    "resize_as_",
    "select_scatter",
    "slice_scatter",
    "tensor_split",
    "torch._scaled_mm_v2",
    "view_as",
}
SAMPLES = 6
OPERATORS = [
    operator
    for operator in op_db
    if operator.name not in TAKES_BOTH and operator.dtypes and not operator.name.startswith("jiterator")
]


def dtype_of(operator: Any) -> torch.dtype:
    return next(dtype for dtype in (torch.float32, torch.int64, *operator.dtypes) if dtype in operator.dtypes)


def refuse_apart(operator: Any, sample: Any) -> None:
    leaves, spec = tree_flatten((sample.input, sample.args, sample.kwargs))
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]
    tensors = [leaves[i] for i in places]
    # Numbers may lie anywhere, and where there is nothing to compute nothing is compared.
    if len(places) < 2 or any(x.layout != torch.strided or x.dim() == 0 or x.numel() == 0 for x in tensors):
        return
    for odd, odd_device, device in itertools.product(places, ("cpu", DEVICE), ("cpu", DEVICE)):
        if odd_device == device:
            continue
        moved = list(leaves)
        for i in places:
            moved[i] = leaves[i].detach().to(odd_device if i == odd else device)
        first, arguments, keywords = tree_unflatten(moved, spec)
        with pytest.raises((RuntimeError, ValueError), match=r"(?s)^(?!.*INTERNAL ASSERT).*(device|mtia_sim)"):
            operator(first, *arguments, **keywords)
            torch.mtia_sim.synchronize()


@pytest.mark.slow
@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.formatted_name)
def test_operands_on_two_devices(operator: Any) -> None:
    for sample in itertools.islice(operator.sample_inputs("cpu", dtype_of(operator)), SAMPLES):
        refuse_apart(operator, sample)
