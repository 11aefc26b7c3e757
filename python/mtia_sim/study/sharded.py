"""One rank of a Llama that is trained on many chips, built as torchtitan builds it: meta device, tensor parallel plan,
recomputation, a fully_shard a layer, stages of a pipeline."""

import gc
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.pipelining import PipelineStage
from torch.distributed.pipelining.schedules import Schedule1F1B, ScheduleInterleaved1F1B
from torch.distributed.tensor import Replicate, Shard
from torch.distributed.tensor.experimental import context_parallel
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    PrepareModuleInput,
    RowwiseParallel,
    SequenceParallel,
    loss_parallel,
    parallelize_module,
)
from torch.utils.checkpoint import CheckpointPolicy, create_selective_checkpoint_contexts

from mtia_sim.study.jobs import Job
from mtia_sim.study.llama import Size
from mtia_sim.study.titan_llama import Llama

DEVICE = "mtia_sim"


def _tensor_parallel(model: Llama, mesh: Any) -> None:
    """Each layer's products cut by `mesh`, activations between them by sequence."""
    whole: dict[str, Any] = {}
    if model.embedding is not None:
        whole["embedding"] = RowwiseParallel(input_layouts=Replicate(), output_layouts=Shard(1))
    if model.head is not None:
        whole["norm"] = SequenceParallel()
        whole["head"] = ColwiseParallel(input_layouts=Shard(1), output_layouts=Shard(-1), use_local_output=False)
    parallelize_module(model, mesh, whole)
    for layer in model.layers:
        plan = {
            "attention_norm": SequenceParallel(),
            "attention": PrepareModuleInput(
                input_layouts=(Shard(1), None, None), desired_input_layouts=(Replicate(), None, None)
            ),
            "attention.query": ColwiseParallel(),
            "attention.key": ColwiseParallel(),
            "attention.value": ColwiseParallel(),
            "attention.output": RowwiseParallel(output_layouts=Shard(1)),
            "feed_forward_norm": SequenceParallel(),
            "feed_forward": PrepareModuleInput(input_layouts=(Shard(1),), desired_input_layouts=(Replicate(),)),
            "feed_forward.gate": ColwiseParallel(),
            "feed_forward.up": ColwiseParallel(),
            "feed_forward.down": RowwiseParallel(output_layouts=Shard(1)),
        }
        parallelize_module(layer, mesh, plan)


def _selected() -> Any:
    # Kept are attention's results, what was reduced and scattered, and every second product.
    kept = {
        torch.ops.aten._scaled_dot_product_fused_attention_overrideable.default,
        torch.ops._c10d_functional.reduce_scatter_tensor.default,
    }
    products: dict[bool, int] = defaultdict(int)

    def policy(context: Any, function: Any, *_: Any, **__: Any) -> CheckpointPolicy:
        is_product = function == torch.ops.aten.mm.default
        products[context.is_recompute] += is_product
        is_kept = products[context.is_recompute] % 2 == 1 if is_product else function in kept
        return CheckpointPolicy.MUST_SAVE if is_kept else CheckpointPolicy.PREFER_RECOMPUTE

    return create_selective_checkpoint_contexts(policy)


def _recompute(model: Llama, how: str) -> None:
    for number, layer in enumerate(model.layers):
        if how == "full" or (how == "layer" and number % 2 == 1):
            model.layers[number] = checkpoint_wrapper(layer, preserve_rng_state=False)
        elif how == "operators":
            model.layers[number] = checkpoint_wrapper(layer, context_fn=_selected, preserve_rng_state=False)


def _shard(model: Llama, mesh: Any, dtype: torch.dtype, is_stage: bool) -> None:
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
    for number, layer in enumerate(model.layers):
        # The last layer's weights are wanted again at once; between micro-batches all stay.
        gathered_again = not is_stage and number < len(model.layers) - 1
        fully_shard(layer, mesh=mesh, mp_policy=policy, reshard_after_forward=gathered_again)
    fully_shard(model, mesh=mesh, mp_policy=policy, reshard_after_forward=not is_stage)


def _dtype(job: Job) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, job.dtype)
    return dtype


def meshes_of(job: Job) -> Any:
    """The ranks of the default process group by what they share, neighbours last: "pipeline", "copies", "data",
    "context", "tensor", and "shards", those of data and context together. Of copies and context only where there are
    several."""
    sizes = {
        "pipeline": job.pipeline,
        "copies": job.copies,
        "data": job.data,
        "context": job.context,
        "tensor": job.tensor,
    }
    for name in ("copies", "context"):
        if sizes[name] == 1:  # a group for every rank, of that rank, would be made
            del sizes[name]
    whole = distributed.device_mesh.init_device_mesh(DEVICE, tuple(sizes.values()), mesh_dim_names=tuple(sizes))
    if job.context > 1:
        whole["data", "context"]._flatten("shards")
    return whole


def _shards(meshes: Any, job: Job) -> Any:
    own = "shards" if job.context > 1 else "data"
    return meshes["copies", own] if job.copies > 1 else meshes[own]


def part_of(size: Size, job: Job, layers: int, is_first: bool, is_last: bool, meshes: Any) -> Llama:
    """So many layers of a model, with its embedding and its head where they are first and last, on this rank."""
    with torch.device("meta"):
        model = Llama(size, job.sequence, layers, is_first=is_first, is_last=is_last, written_out=job.written_out)
    if job.tensor > 1:
        _tensor_parallel(model, meshes["tensor"])
    _recompute(model, job.recompute)
    _shard(model, _shards(meshes, job), _dtype(job), job.pipeline > 1)
    model.to_empty(device=DEVICE)
    for name, buffer in list(model.named_buffers()):
        setattr(model, name, buffer.to(_dtype(job)))
    return model


def in_context(job: Job, meshes: Any, parts: Sequence[Llama], *inputs: Tensor) -> AbstractContextManager[Any]:
    """Within it, this rank has its part of the sequences of `inputs` [batch, sequence] and of the parts' positions.

    With tensor parallel ranks losses are those of logits that each has some of.
    """
    stack = ExitStack()
    if job.tensor > 1:
        stack.enter_context(loss_parallel())
    if job.context > 1:
        tables = [table for part in parts for table in (part.cosine, part.sine)]
        places = [1] * len(inputs) + [0] * len(tables)
        stack.enter_context(context_parallel(meshes["context"], buffers=[*inputs, *tables], buffer_seq_dims=places))
    return stack


def layers_of(layers: int, stages: int) -> list[int]:
    """Layers of each stage, whose first and last are one short where the others are alike.

    Raises:
        ValueError: There are more stages than layers, the embedding and the head.
    """
    if stages == 1:
        return [layers]
    if stages > layers + 2:
        raise ValueError(f"{stages} stages of {layers} layers")
    each, over = divmod(layers + 2, stages)
    counts = [each + (1 if stage < over else 0) for stage in range(stages)]
    counts[0] -= 1
    counts[-1] -= 1
    return counts


def loss_of(logits: Tensor, targets: Tensor) -> Tensor:
    """The mean cross entropy of logits [batch, sequence, vocabulary], in float32."""
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


class Optimizer:
    """AdamW on gradients whose norm, of all ranks together, is bounded."""

    def __init__(self, parts: Sequence[Llama], job: Job, meshes: Any) -> None:
        self.parameters = [parameter for part in parts for parameter in part.parameters()]
        self._adamw = torch.optim.AdamW(
            self.parameters, lr=1e-4, fused=job.fused_optimizer, foreach=not job.fused_optimizer
        )
        self._stages = meshes["pipeline"].get_group() if job.pipeline > 1 else None

    def zero_grad(self) -> None:
        """Drops the gradients."""
        self._adamw.zero_grad()

    def step(self) -> None:
        """Clips the gradients and changes the parameters."""
        norm = nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None], foreach=True)
        if hasattr(norm, "full_tensor"):
            norm = norm.full_tensor()
        if self._stages is not None:
            norm **= 2
            distributed.all_reduce(norm, group=self._stages)
            norm **= 0.5
        nn.utils.clip_grads_with_norm_(self.parameters, 1.0, norm, foreach=True)
        self._adamw.step()


@contextmanager
def uncollected() -> Iterator[None]:
    """Python looks for garbage before, and not within.

    When it does within a step depends on all that the process did before; works of collectives and memory that are
    given back then change what waits and where tensors lie, and so the step's time.
    """
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def training_step(size: Size, job: Job) -> Callable[[], None]:
    """A step of training on this rank of the default process group, of which there are `job.chips`.

    Mixed precision with gradients reduced in float32, norms clipped, AdamW.
    """
    meshes = meshes_of(job)
    shape = (job.microbatch, job.sequence)
    tokens = torch.randint(0, size.vocabulary, (job.batch, job.sequence), device=DEVICE)
    targets = torch.randint(0, size.vocabulary, (job.batch, job.sequence), device=DEVICE)
    if job.pipeline == 1:
        parts = [part_of(size, job, size.layers, True, True, meshes)]

        def run() -> None:
            with in_context(job, meshes, parts, tokens, targets):
                loss_of(parts[0](tokens), targets).backward()

    else:
        stages = job.pipeline * job.chunks
        counts, own = layers_of(size.layers, stages), meshes["pipeline"].get_local_rank()
        group = meshes["pipeline"].get_group()
        places = range(own, stages, job.pipeline)
        parts = [part_of(size, job, counts[i], i == 0, i == stages - 1, meshes) for i in places]
        # What stages pass on, so that they need not ask each other.
        half: Any = {"dtype": _dtype(job), "device": "meta", "requires_grad": True}
        hidden = torch.empty(shape[0], job.sequence // job.context // job.tensor, size.hidden, **half)
        logits = torch.empty(shape[0], job.sequence // job.context, size.vocabulary, **half)
        given = torch.empty(shape[0], job.sequence // job.context, dtype=torch.int64, device="meta")
        built: list[Any] = [
            PipelineStage(
                part,
                place,
                stages,
                torch.device(DEVICE, torch.mtia_sim.current_device()),  # type: ignore[attr-defined]
                input_args=given if place == 0 else hidden,
                output_args=logits if place == stages - 1 else hidden,
                group=group,
            )
            for place, part in zip(places, parts, strict=True)
        ]
        count = job.batch // shape[0]
        schedule: Any = (
            Schedule1F1B(built[0], count, loss_fn=loss_of)
            if job.chunks == 1
            else ScheduleInterleaved1F1B(built, count, loss_fn=loss_of)
        )

        def run() -> None:
            with in_context(job, meshes, parts, tokens, targets):
                schedule.step(*((tokens,) if own == 0 else ()), target=targets if own == job.pipeline - 1 else None)

    optimizer = Optimizer(parts, job, meshes)

    def step() -> None:
        with uncollected():
            optimizer.zero_grad()
            run()
            optimizer.step()

    return step
