"""Holds results of the device against CPU torch's: structure, device, dtype, layout, shape and values."""

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils import _pytree as pytree

DEVICE = torch.device("mtia_sim")

# Relative and absolute tolerance an element: torch.testing's own.
_TOLERANCES = {
    torch.float64: (1e-7, 1e-7),
    torch.float32: (1.3e-6, 1e-5),
    torch.float16: (1e-3, 1e-5),
    torch.bfloat16: (1.6e-2, 1e-5),
    torch.complex64: (1.3e-6, 1e-5),
    torch.complex128: (1e-7, 1e-7),
    torch.complex32: (1e-3, 1e-5),
}
# How far from the exact result an element may be in units of CPU torch's own error, as the root of its mean square over
# the tensor: sums in another order are as good, but not equal.
_OWN_ERRORS = 6
_WORST = 5  # and of its largest error
# What a result of few operations may be off: rounding of the result and of two intermediate ones, in units of eps.
_ROUNDINGS = 4
_HIGHER = {
    torch.float16: torch.float64,
    torch.bfloat16: torch.float64,
    torch.float32: torch.float64,
    torch.complex64: torch.complex128,
    torch.complex32: torch.complex128,
}


class Mover:
    """Copies tensors to the device as they are: strides, offset and what shares a storage stay, and who is the same."""

    def __init__(self) -> None:
        self._moved: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._storages: dict[int, tuple[torch.UntypedStorage, torch.Tensor]] = {}

    def tensor(self, tensor: torch.Tensor) -> torch.Tensor:
        """``tensor`` on the device, with its strides and its requires_grad."""
        if id(tensor) not in self._moved:
            self._moved[id(tensor)] = (tensor, self._move(tensor))
        return self._moved[id(tensor)][1]

    def _move(self, tensor: torch.Tensor) -> torch.Tensor:
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


def _near_the_exact(ours: torch.Tensor, theirs: torch.Tensor, exact: torch.Tensor) -> torch.Tensor:
    """Elements that are as near to the result in higher precision as CPU torch's are."""
    wide = torch.complex128 if exact.is_complex() else torch.float64
    exact = exact.detach().resolve_conj().resolve_neg().to(wide)
    mine, error = ours.to(wide) - exact, (theirs.to(wide) - exact).abs()
    known = error[error.isfinite()]
    own = max(_OWN_ERRORS * known.square().mean().sqrt().item(), _WORST * known.max().item()) if known.numel() else 0.0
    eps = torch.finfo(theirs.dtype).eps
    return mine.abs() <= torch.clamp(_ROUNDINGS * eps * exact.abs(), min=own)


def compare_tensors(ours: torch.Tensor, theirs: torch.Tensor, exact: torch.Tensor | None, place: str) -> None:
    """Raises AssertionError unless the device's tensor is CPU torch's.

    ``exact`` is the same in higher precision, or None: a finite element out of tolerance counts as right if it is about
    as near to it as CPU torch's elements are. Where ours or CPU torch's is NaN or infinite, they are equal, or ours is
    within tolerance of what the exact result rounds to.
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
    relative, absolute = _TOLERANCES.get(theirs.dtype, (0.0, 0.0))
    try:
        torch.testing.assert_close(ours, theirs, rtol=relative, atol=absolute, equal_nan=True)
        return
    except AssertionError as error:
        message = str(error)
    if exact is not None and theirs.dtype in _TOLERANCES and exact.shape == theirs.shape and theirs.numel():
        right = torch.isclose(ours, theirs, rtol=relative, atol=absolute, equal_nan=True)
        rounded = exact.detach().to(theirs.dtype)
        finite = ours.isfinite() & theirs.isfinite()
        right |= ~finite & torch.isclose(ours, rounded, rtol=relative, atol=absolute, equal_nan=True)
        right |= finite & _near_the_exact(ours, theirs, exact)
        if right.all():
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
