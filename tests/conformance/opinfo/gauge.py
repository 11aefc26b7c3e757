"""Factors that a matrix leaves open: signs and phases of eigenvectors and singular vectors, the order of eigenvalues.

What is held instead is what the factors multiply to, that they are orthonormal, and the values themselves.
"""

from typing import Any

import torch
from torch.testing._internal.opinfo.core import SampleInput

from tests.conformance.opinfo.comparison import compare


def _same_layout(ours: Any, theirs: Any) -> None:
    for one, two in zip(ours, theirs, strict=True):
        for name, mine, other in (
            ("dtype", one.dtype, two.dtype),
            ("shape", one.shape, two.shape),
            ("strides", one.stride(), two.stride()),
        ):
            if mine != other:
                raise AssertionError(f"{name} {mine}, CPU torch's is {other}")


def _wide(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.detach().cpu()
    return tensor.to(torch.complex128 if tensor.is_complex() else torch.float64)


def _near(ours: torch.Tensor, theirs: torch.Tensor, dtype: torch.dtype, place: str) -> None:
    scale = max(float(theirs.abs().max()) if theirs.numel() else 1.0, 1.0)
    bound = 3e-5 if dtype in (torch.float32, torch.complex64) else 1e-11
    torch.testing.assert_close(ours, theirs, rtol=0, atol=bound * scale, msg=lambda text: f"{place}: {text}")


def _orthonormal(columns: torch.Tensor, dtype: torch.dtype, place: str) -> None:
    unit = torch.eye(columns.size(-1), dtype=columns.dtype).expand(*columns.shape[:-2], -1, -1)
    _near(columns.mH @ columns, unit, dtype, f"{place} is not orthonormal")


def _product(u: torch.Tensor, s: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    size = s.size(-1)
    return (u[..., :size] * s.unsqueeze(-2).to(u.dtype)) @ v[..., :size].mH


def hold_svd(sample: SampleInput, ours: Any, theirs: Any) -> None:
    """(U, S, V), or (U, S, V^H) of torch.linalg.svd."""
    _same_layout(ours, theirs)
    compare(ours[1], theirs[1], place="S")
    dtype = theirs[0].dtype
    factors = [tuple(map(_wide, each)) for each in (ours, theirs)]
    if type(theirs).__name__ == "linalg_svd" or "full_matrices" in sample.kwargs:
        factors = [(u, s, vh.mH) for u, s, vh in factors]
    if sample.kwargs.get("compute_uv", True):
        _orthonormal(factors[0][0], dtype, "U")
        _orthonormal(factors[0][2], dtype, "V")
    _near(_product(*factors[0]), _product(*factors[1]), dtype, "U S V^H")


def hold_eigh(sample: SampleInput, ours: Any, theirs: Any) -> None:
    """(eigenvalues, eigenvectors) of a symmetric matrix."""
    del sample
    _same_layout(ours, theirs)
    compare(ours[0], theirs[0], place="eigenvalues")
    (w, v), (values, vectors) = (map(_wide, each) for each in (ours, theirs))
    _orthonormal(v, theirs[1].dtype, "eigenvectors")
    _near(_product(v, w, v), _product(vectors, values, vectors), theirs[1].dtype, "V W V^H")


def _matched(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """The device's eigenvalues in the order of those that they are next to."""
    rows = []
    size = theirs.size(-1)
    for mine, others in zip(ours.reshape(-1, size), theirs.reshape(-1, size), strict=True):
        left = list(mine)
        row = []
        for value in others:
            place = min(range(len(left)), key=lambda i: abs(complex(left[i]) - complex(value)))
            row.append(left.pop(place))
        rows.append(torch.stack(row))
    return torch.stack(rows).reshape(theirs.shape)


def hold_eigvals(sample: SampleInput, ours: Any, theirs: Any) -> None:
    """Eigenvalues in any order."""
    del sample
    _same_layout([ours], [theirs])
    if theirs.numel():
        _near(_wide(_matched(ours.cpu(), theirs)), _wide(theirs), theirs.dtype, "eigenvalues")


def hold_eig(sample: SampleInput, ours: Any, theirs: Any) -> None:
    """(eigenvalues, eigenvectors) in any order, vectors of norm 1."""
    _same_layout(ours, theirs)
    hold_eigvals(sample, ours[0], theirs[0])
    w, v = map(_wide, ours)
    matrix = _wide(sample.input).to(v.dtype)
    _near(matrix @ v, v * w.unsqueeze(-2), theirs[0].dtype, "A V = V W")
    _near(torch.linalg.vector_norm(v, dim=-2), torch.ones(w.shape).double(), theirs[0].dtype, "norms of eigenvectors")


CHECKS = {
    "svd": hold_svd,
    "linalg.svd": hold_svd,
    "linalg.eigh": hold_eigh,
    "linalg.eig": hold_eig,
    "linalg.eigvals": hold_eigvals,
}


def in_order(operator: str, result: Any) -> Any:
    """A result whose eigenvalues have an order of their own, so that gradients may be compared."""
    if operator not in ("linalg.eig", "linalg.eigvals"):
        return result
    values = result if operator == "linalg.eigvals" else result[0]
    if values.numel() == 0:
        return result
    known = values.detach().cpu()
    order = (0.83 * known.real + 0.56 * known.imag).argsort(-1).to(values.device)
    sorted_values = values.gather(-1, order)
    if operator == "linalg.eigvals":
        return sorted_values
    return sorted_values, result[1].gather(-1, order.unsqueeze(-2).expand(result[1].shape))
