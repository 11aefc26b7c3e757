"""Which operators of torch's OpInfo database count, and by which rule: TritorX's filter and what it leaves out."""

from dataclasses import dataclass

import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.opinfo.core import OpInfo

# The five dtypes by which TritorX judges an operator.
JUDGED = (torch.bfloat16, torch.float16, torch.float32, torch.int32, torch.int64)
OTHERS = (
    torch.bool,
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.float64,
    torch.complex64,
)
FEW = 900  # samples of an operator over all judged dtypes
# Operators whose results are random or hold what memory held.
RANDOM = frozenset(
    (
        *("bernoulli", "cauchy", "exponential", "geometric", "log_normal", "normal", "uniform", "multinomial"),
        *("rand_like", "randint", "randint_like", "randn", "randn_like"),
        *("empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided"),
        *(f"nn.functional.{name}" for name in ("dropout", "dropout2d", "dropout3d", "alpha_dropout")),
        *("nn.functional.feature_alpha_dropout", "nn.functional.rrelu"),
        *("nn.functional.fractional_max_pool2d", "nn.functional.fractional_max_pool3d"),
        *("pca_lowrank", "svd_lowrank"),
    )
)

_CUDA_ONLY = "torch compiles them with CUDA's or ROCm's run-time compiler only"
# Operators that do not pass, and why.
OPEN = {
    "jiterator_unary": _CUDA_ONLY,
    "jiterator_binary": _CUDA_ONLY,
    "jiterator_binary_return_by_ref": _CUDA_ONLY,
    "jiterator_2inputs_2outputs": _CUDA_ONLY,
    "jiterator_4inputs_with_extra_args": _CUDA_ONLY,
}


@dataclass(frozen=True)
class Entry:
    """One OpInfo (an operator may have several variants) under a name that is unique."""

    name: str
    operator: str
    info: OpInfo


def entries() -> list[Entry]:
    """All OpInfos in the order of their names."""
    found = []
    for info in op_db:
        variant = f".{info.variant_test_name}" if info.variant_test_name else ""
        found.append(Entry(f"{info.name}{variant}", info.name, info))
    return sorted(found, key=lambda entry: entry.name)


def family(operator: str) -> str:
    """`fft`, `random` or `judged`; the last is TritorX's set but for operators with many samples."""
    if operator.startswith("fft."):
        return "fft"
    return "random" if operator in RANDOM else "judged"
