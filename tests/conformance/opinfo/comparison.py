"""Holds results of the device against CPU torch's: structure, dtype, layout of strides where it counts, and values."""

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils import _pytree as pytree

DEVICE = torch.device("mtia_sim")

# Relative and absolute tolerance an element, and the bound of the relative norm that decides where an element is out:
# sums in another order cancel differently, but not on the whole.
_TOLERANCES = {
    torch.float64: (1e-7, 1e-7, 1e-9),
    torch.float32: (1e-4, 1e-5, 1e-5),
    torch.float16: (2e-2, 2e-3, 4e-3),
    torch.bfloat16: (4e-2, 1e-2, 2e-2),
    torch.complex64: (1e-4, 1e-5, 1e-5),
    torch.complex128: (1e-7, 1e-7, 1e-9),
    torch.complex32: (2e-2, 2e-3, 4e-3),
}
_HIGHER = {
    torch.float16: torch.float64,
    torch.bfloat16: torch.float64,
    torch.float32: torch.float64,
    torch.complex64: torch.complex128,
    torch.complex32: torch.complex128,
}


class Mover:
    """Copies tensors to the device as they are: strides, offset and what shares a storage stay."""

    def __init__(self) -> None:
        self._storages: dict[int, tuple[torch.UntypedStorage, torch.Tensor]] = {}

    def tensor(self, tensor: torch.Tensor) -> torch.Tensor:
        """``tensor`` on the device, with its strides and its requires_grad."""
        if tensor.device.type != "cpu":
            return tensor
        if tensor.layout is not torch.strided:
            return tensor.to(DEVICE)
        source = tensor.detach()
        conjugate, negative = source.is_conj(), source.is_neg()
        source = source.conj() if conjugate else source
        source = source._neg_view() if negative else source
        storage = source.untyped_storage()
        if storage._cdata not in self._storages:
            bytes_ = torch.empty(0, dtype=torch.uint8).set_(storage)  # type: ignore[call-overload]
            self._storages[storage._cdata] = (storage, bytes_.to(DEVICE))
        moved = torch.empty(0, dtype=source.dtype, device=DEVICE)
        moved.set_(
            self._storages[storage._cdata][1].untyped_storage(),  # type: ignore[call-overload]
            source.storage_offset(),
            source.size(),
            source.stride(),
        )
        moved = moved.conj() if conjugate else moved
        moved = moved._neg_view() if negative else moved
        return moved.requires_grad_(tensor.requires_grad)

    def __call__(self, tree: Any) -> Any:
        """Every tensor and every device in a structure."""
        return pytree.tree_map(self._leaf, tree)

    def _leaf(self, leaf: Any) -> Any:
        if isinstance(leaf, torch.Tensor):
            return self.tensor(leaf)
        if isinstance(leaf, torch.device) or leaf == "cpu":
            return DEVICE
        return leaf


def to_higher(tree: Any) -> Any:
    """Every floating tensor of a structure in double precision, on the CPU."""

    def leaf(value: Any) -> Any:
        if isinstance(value, torch.Tensor) and value.dtype in _HIGHER:
            return value.detach().to(_HIGHER[value.dtype])
        return _HIGHER.get(value, value) if isinstance(value, torch.dtype) else value

    return pytree.tree_map(leaf, tree)


def leaves(tree: Any) -> Iterator[Any]:
    """Leaves of a structure; named tuples of torch's return types are structures."""
    yield from pytree.tree_leaves(tree)


def _distance(ours: torch.Tensor, reference: torch.Tensor) -> float:
    wide = torch.complex128 if ours.is_complex() or reference.is_complex() else torch.float64
    ours, reference = ours.to(wide), reference.to(wide)
    finite = torch.isfinite(reference) & torch.isfinite(ours)
    norm = torch.linalg.vector_norm(reference[finite]).item()
    return float(torch.linalg.vector_norm((ours - reference)[finite]).item() / (norm or 1.0))


def compare_tensors(ours: torch.Tensor, theirs: torch.Tensor, exact: torch.Tensor | None, place: str) -> None:
    """Raises AssertionError unless the device's tensor is CPU torch's.

    ``exact`` is the same in higher precision, or None: where an element is out of tolerance, a result counts as right
    if it is no farther from ``exact`` than twice CPU torch's own.
    """
    if theirs.device.type == "cpu" and ours.device.type != DEVICE.type:
        raise AssertionError(f"{place}: the result is on {ours.device}")
    if ours.dtype != theirs.dtype:
        raise AssertionError(f"{place}: dtype {ours.dtype}, CPU torch's is {theirs.dtype}")
    if ours.layout != theirs.layout:
        raise AssertionError(f"{place}: layout {ours.layout}, CPU torch's is {theirs.layout}")
    if ours.shape != theirs.shape:
        raise AssertionError(f"{place}: shape {tuple(ours.shape)}, CPU torch's is {tuple(theirs.shape)}")
    if theirs.layout is not torch.strided:
        compare_tensors(ours.to_dense(), theirs.to_dense(), None, place)
        return
    ours, theirs = ours.detach().cpu().resolve_conj().resolve_neg(), theirs.detach().resolve_conj().resolve_neg()
    if theirs.is_quantized:
        ours, theirs = ours.dequantize(), theirs.dequantize()
    relative, absolute, bound = _TOLERANCES.get(theirs.dtype, (0.0, 0.0, 0.0))
    try:
        torch.testing.assert_close(ours, theirs, rtol=relative, atol=absolute, equal_nan=True)
        return
    except AssertionError as error:
        message = str(error)
    if exact is not None and theirs.dtype in _TOLERANCES and exact.shape == theirs.shape:
        own = _distance(ours, exact)
        infinite_agree = torch.equal(torch.isfinite(ours), torch.isfinite(theirs)) or torch.equal(
            torch.isfinite(ours), torch.isfinite(exact.to(theirs.dtype))
        )
        if infinite_agree and own <= max(2 * _distance(theirs, exact), bound):
            return
    raise AssertionError(f"{place}: {message}")


def compare(ours: Any, theirs: Any, exact: Any = None, place: str = "result") -> None:
    """Raises AssertionError unless the structures agree leaf by leaf."""
    mine, other = list(leaves(ours)), list(leaves(theirs))
    if len(mine) != len(other):
        raise AssertionError(f"{place}: {len(mine)} leaves, CPU torch has {len(other)}")
    better = list(leaves(exact)) if exact is not None else []
    for index, (one, two) in enumerate(zip(mine, other, strict=True)):
        where = f"{place} {index}" if len(mine) > 1 else place
        if isinstance(two, torch.Tensor):
            if not isinstance(one, torch.Tensor):
                raise AssertionError(f"{where}: {type(one).__name__}, CPU torch gives a tensor")
            third = better[index] if len(better) == len(mine) and isinstance(better[index], torch.Tensor) else None
            compare_tensors(one, two, third, where)
        elif isinstance(two, float | complex):
            torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5, equal_nan=True)
        elif isinstance(two, torch.device):
            continue
        elif one != two:
            raise AssertionError(f"{where}: {one!r}, CPU torch gives {two!r}")
