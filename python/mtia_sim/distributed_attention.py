"""DTensor's handlers of this device's attention operators, and their part in context parallel attention.

torch has both for the operators that CUDA's scaled_dot_product_attention calls, and none for those that other devices
implement.
"""

import contextlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate, Shard, _random
from torch.distributed.tensor._dtensor_spec import DTensorSpec, TensorMeta
from torch.distributed.tensor.experimental._context_parallel import _attention as context_parallel
from torch.distributed.tensor.placement_types import Placement

_FORWARD = torch.ops.aten._scaled_dot_product_fused_attention_overrideable.default
_BACKWARD = torch.ops.aten._scaled_dot_product_fused_attention_overrideable_backward.default
_BATCH, _HEADS, _SEQUENCE = 0, 1, 2  # dimensions of [batch, heads, sequence, size]


def register() -> None:
    """Gives DTensor the handlers; those of context parallel attention take their place while it is enabled."""
    handlers: dict[Any, Any] = DTensor._op_dispatcher._custom_op_handlers
    handlers.update({_FORWARD: _forward, _BACKWARD: _backward})
    in_rings: dict[Any, Any] = context_parallel.custom_ops
    in_rings.update({_FORWARD: _ring_forward, _BACKWARD: _ring_backward})


def _named(operator: Any, arguments: Sequence[Any], keywords: dict[str, Any]) -> dict[str, Any]:
    """All arguments of a call by their names."""
    schema = operator._schema.arguments
    named = {each.name: each.default_value for each in schema if each.has_default_value()}
    named.update(zip((each.name for each in schema), arguments, strict=False))
    return {**named, **keywords}


def _global_stride(local: Tensor, shape: Sequence[int]) -> tuple[int, ...]:
    """Of a dense tensor of `shape` whose dimensions lie in the order that the local one's do."""
    order = sorted(range(len(shape)), key=lambda dimension: (local.stride(dimension), -dimension))
    strides, step = [0] * len(shape), 1
    for dimension in order:
        strides[dimension] = step
        step *= shape[dimension]
    return tuple(strides)


def _wrap(local: Tensor, mesh: DeviceMesh, placements: Sequence[Placement], shape: Sequence[int]) -> DTensor:
    meta = TensorMeta(torch.Size(shape), _global_stride(local, shape), local.dtype)
    return DTensor(local, DTensorSpec(mesh, tuple(placements), meta), requires_grad=False)


def _placements(query: DTensor, key: DTensor) -> tuple[Placement, ...]:
    """How queries, keys and values are dealt: by batch or by heads where the query is, else whole.

    A rank's heads of the query need their heads of the key, so both are cut into as many parts.
    """
    taken: list[Placement] = []
    parts = 1
    for dimension, placement in enumerate(query.placements):
        size = query.device_mesh.size(dimension)
        if placement == Shard(_HEADS) and query.size(1) % (parts * size) == key.size(1) % (parts * size) == 0:
            parts *= size
            taken.append(placement)
        else:
            taken.append(placement if placement == Shard(_BATCH) else Replicate())
    return tuple(taken)


def _local(tensor: Any, mesh: DeviceMesh, placements: Sequence[Placement]) -> Any:
    """The local part of a tensor that is dealt so; what is none, or not distributed, as it is."""
    return tensor.redistribute(mesh, placements)._local_tensor if isinstance(tensor, DTensor) else tensor


def _local_mask(mask: Any, mesh: DeviceMesh, placements: Sequence[Placement]) -> Any:
    """A mask may have fewer dimensions, and sizes of 1, which are for all batches or heads."""
    if mask is None:
        return None
    of_mask: list[Placement] = []
    for placement in placements:
        place = placement.dim - (4 - mask.dim()) if isinstance(placement, Shard) else -1
        of_mask.append(Shard(place) if place >= 0 and mask.size(place) > 1 else Replicate())
    return _local(mask, mesh, of_mask)


def _drawing(
    probability: float, mesh: DeviceMesh, placements: Sequence[Placement], scores: Sequence[int]
) -> contextlib.AbstractContextManager[Any]:
    """Where a rank draws the dropout of its part of the scores [batch, heads, queries, keys]; replicas draw the same.

    As DTensor's dispatcher does it for the operators that it knows to be random: dealt by batch, all ranks together
    draw what one device would.
    """
    if probability == 0:
        return contextlib.nullcontext()
    if not _random._rng_tracker and _random.is_rng_supported_mesh(mesh):
        _random._rng_tracker = _random.OffsetBasedRNGTracker(mesh)
    tracker: Any = _random._rng_tracker
    if not tracker.distribute_region_enabled:
        return contextlib.nullcontext()
    strides = torch.empty(tuple(scores), device="meta").stride()
    spec = DTensorSpec(mesh, tuple(placements), TensorMeta(torch.Size(scores), strides, torch.float32))
    region: contextlib.AbstractContextManager[Any] = tracker._distribute_region(spec)
    return region


def _forward(operator: Any, arguments: Sequence[Any], keywords: dict[str, Any]) -> tuple[Any, ...]:
    call = _named(operator, arguments, keywords)
    query, key, value = (call[name] for name in ("query", "key", "value"))
    mesh, placements = query.device_mesh, _placements(query, key)
    call.update({name: _local(call[name], mesh, placements) for name in ("query", "key", "value")})
    call["attn_bias"] = _local_mask(call["attn_bias"], mesh, placements)
    with _drawing(call["dropout_p"], mesh, placements, (*query.shape[:3], key.shape[2])):
        out, logsumexp, *rest = operator(**call)
    return (
        _wrap(out, mesh, placements, (*query.shape[:3], value.shape[3])),
        _wrap(logsumexp, mesh, placements, query.shape[:3]),
        *rest,
    )


def _backward(operator: Any, arguments: Sequence[Any], keywords: dict[str, Any]) -> tuple[Any, ...]:
    call = _named(operator, arguments, keywords)
    mesh, placements = call["out"].device_mesh, call["out"].placements
    shapes = [call[name].shape for name in ("query", "key", "value")]
    dealt = ("grad_out", "query", "key", "value", "out", "logsumexp")
    call.update({name: _local(call[name], mesh, placements) for name in dealt})
    call["attn_bias"] = _local_mask(call["attn_bias"], mesh, placements)
    *gradients, of_mask = operator(**call)
    return (*(_wrap(each, mesh, placements, shape) for each, shape in zip(gradients, shapes, strict=True)), of_mask)


def _ring_forward(operator: Any, arguments: Sequence[Any], keywords: dict[str, Any]) -> tuple[Any, ...]:
    """Each rank has a part of the sequence; keys and values go around them, or are gathered."""
    call = _named(operator, arguments, keywords)
    query, value = call["query"], call["value"]
    mesh = query.device_mesh
    if call["attn_bias"] is not None:
        raise NotImplementedError("context parallel attention takes no mask but is_causal")
    locals_of = {name: call.pop(name)._local_tensor for name in ("query", "key", "value")}
    out, logsumexp, *rest = context_parallel._templated_ring_attention(
        mesh.get_group(), _SEQUENCE, operator, **locals_of, **call
    )
    return (
        _wrap(out, mesh, [Shard(_SEQUENCE)], (*query.shape[:3], value.shape[3])),
        _wrap(logsumexp, mesh, [Shard(_SEQUENCE)], query.shape[:3]),
        *rest,
    )


def _ring_backward(operator: Any, arguments: Sequence[Any], keywords: dict[str, Any]) -> tuple[Any, ...]:
    call = _named(operator, arguments, keywords)
    mesh = call["query"].device_mesh
    names = ("query", "key", "value")
    shapes = [call[name].shape for name in names]
    dealt = {
        name: _local(call.pop(name), mesh, [Shard(_SEQUENCE)]) for name in ("grad_out", *names, "out", "logsumexp")
    }
    *gradients, of_mask = context_parallel._templated_ring_attention_backward(
        mesh.get_group(), _SEQUENCE, operator, grad_out_name="grad_out", **dealt, **call
    )
    return (
        *(_wrap(each, mesh, [Shard(_SEQUENCE)], shape) for each, shape in zip(gradients, shapes, strict=True)),
        of_mask,
    )
