"""What a study runs on a chip: a step, what it makes, and what it has to compute."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mtia_core.errors import InvalidArgument
from mtia_sim.study import own_workloads
from mtia_sim.study.jobs import JOBS
from mtia_sim.study.llama import SIZES, Llama, Size

DEVICE = "mtia_sim"
DTYPES = {
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float32": torch.float32,
    "float8_e4m3fn": torch.float8_e4m3fn,
}


@dataclass(frozen=True)
class Options:
    """What is asked of a workload; None: its own choice.

    recompute: A training step keeps only the inputs of every so many layers, and makes the rest again; 0: of none.
    plan, stage, microbatches: Of a part of a training step of many chips (plans.Plan, parallel_measuring); plan None:
        of one chip.
    """

    batch: int | None = None
    sequence: int | None = None
    dtype: str = "bfloat16"
    shape: tuple[int, ...] | None = None
    layers: int | None = None
    recompute: int = 1
    plan: tuple[int, ...] | None = None
    stage: str = ""
    microbatches: int = 1


@dataclass(frozen=True)
class Prepared:
    """A workload that is ready to run: the step, how many of what it makes, and the FLOPs that this needs."""

    step: Callable[[], Any]
    items: float
    unit: str
    model_flops: float
    described: str


def _size(name: str, options: Options) -> Size:
    size = SIZES[name]
    if options.layers is None:
        return size
    return Size(**{**{key: getattr(size, key) for key in size.__dataclass_fields__}, "layers": options.layers})


def _called(name: str, options: Options) -> str:
    return name if options.layers is None else f"{name} with {options.layers} layers"


def _model(size: Size, positions: int, options: Options, recompute: int = 0) -> Llama:
    if options.dtype == "float8_e4m3fn":
        raise InvalidArgument("no model holds its weights in float8", remedy="give another dtype, or a product")
    before = torch.get_default_dtype()
    torch.set_default_dtype(DTYPES[options.dtype])
    try:
        with torch.device(DEVICE):
            return Llama(size, positions, recompute)
    finally:
        torch.set_default_dtype(before)


def _tokens(size: Size, batch: int, sequence: int) -> Tensor:
    return torch.randint(0, size.vocabulary, (batch, sequence), device=DEVICE)


def _train(name: str, options: Options) -> Prepared:
    """A step with AdamW; weights, gradients and moments in the dtype asked for."""
    size, batch, sequence = _size(name, options), options.batch or 1, options.sequence or 8192
    model = _model(size, sequence, options, recompute=options.recompute)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    tokens, targets = _tokens(size, batch, sequence), _tokens(size, batch, sequence)

    def step() -> None:
        logits = model(tokens)
        F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten()).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    flops = 3 * size.forward_flops(batch * sequence, sequence / 2)
    return Prepared(
        step,
        batch * sequence,
        "token",
        flops,
        f"{_called(name, options)}, training step of {batch} x {sequence} tokens",
    )


def _job(name: str, options: Options) -> Prepared:
    """A step on one of a job's chips; the others are taken to do the same (docs/many_chips.md)."""
    from torch import distributed

    from mtia_sim.study.sharded import training_step  # with its pipelines and plans it takes a second to import

    job = JOBS[name]
    if distributed.is_initialized():
        distributed.destroy_process_group()
    distributed.init_process_group("fake", rank=0, world_size=job.chips)
    size = job.size(options.layers)
    flops = 3 * size.forward_flops(job.batch * job.sequence, job.sequence / 2) / job.tensor
    return Prepared(training_step(size, job), job.tokens, "token", flops, f"training step of {job.described}")


def _prefill(name: str, options: Options) -> Prepared:
    size, batch, sequence = _size(name, options), options.batch or 1, options.sequence or 2048
    model, tokens = _model(size, sequence, options).eval(), _tokens(size, batch, sequence)
    step = torch.no_grad()(lambda: model(tokens, last=True))
    flops = size.forward_flops(batch * sequence, sequence / 2)
    return Prepared(
        step, batch * sequence, "token", flops, f"{_called(name, options)}, prompts of {batch} x {sequence} tokens"
    )


def _decode(name: str, options: Options) -> Prepared:
    size, batch, sequence = _size(name, options), options.batch or 1, options.sequence or 2048
    model = _model(size, sequence + 1, options).eval()
    shape = (batch, size.key_value_heads, sequence, size.head)

    def empty() -> Tensor:
        return torch.empty(shape, dtype=DTYPES[options.dtype], device=DEVICE)

    caches = [(empty(), empty()) for _ in range(size.layers)]
    tokens = _tokens(size, batch, 1)
    step = torch.no_grad()(lambda: model(tokens, sequence, caches).argmax(-1))
    described = f"{_called(name, options)}, one token behind {sequence}, {batch} at a time"
    return Prepared(step, batch, "token", size.forward_flops(batch, sequence), described)


def _gemm(options: Options) -> Prepared:
    rows, columns, depth = options.shape or (4096, 4096, 4096)
    dtype = DTYPES[options.dtype]
    left = torch.randn(rows, depth, device=DEVICE).to(dtype)
    right = torch.randn(columns, depth, device=DEVICE).to(dtype)
    flops = 2.0 * rows * columns * depth
    described = f"product of {rows} x {depth} by {depth} x {columns}"
    return Prepared(lambda: F.linear(left, right), 1, "product", flops, described)


def _attention(options: Options, backward: bool = True, causal: bool = True) -> Prepared:
    """Shape: query heads, key and value heads, elements of a head."""
    batch, sequence = options.batch or 1, options.sequence or 8192
    heads, grouped, head = options.shape or (32, 8, 128)
    dtype = DTYPES[options.dtype]
    query, key, value = (
        torch.randn(batch, count, sequence, head, device=DEVICE).to(dtype).requires_grad_(backward)
        for count in (heads, grouped, grouped)
    )

    def step() -> None:
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=causal, enable_gqa=True)
        if backward:
            mixed.backward(mixed)

    flops = (3 if backward else 1) * 4.0 * batch * heads * head * sequence * sequence / (2 if causal else 1)
    described = (
        f"{'causal' if causal else 'full'} attention, {'forward and backward' if backward else 'forward'}, "
        f"{batch} x {heads} heads of {head}, {sequence} tokens"
    )
    return Prepared(step, batch * sequence, "token", flops, described)


def _gemms(options: Options) -> Prepared:
    """Products one behind the other, as in a loop that is timed as a whole."""
    prepared, count = _gemm(options), 10

    def step() -> None:
        for _ in range(count):
            prepared.step()

    flops, described = count * prepared.model_flops, f"{count} times the {prepared.described}"
    return replace(prepared, step=step, items=count, model_flops=flops, described=described)


def _alone(prepared: Prepared, before: Callable[[], Any]) -> Prepared:
    """The step is timed alone, after `before`, on an idle grid: a copy from the host takes its time in between. It
    ends with an event, as what do_bench and others time."""
    host = torch.zeros(1)
    end = torch.mtia_sim.Event(enable_timing=True)  # type: ignore[attr-defined]

    def step() -> None:
        before()
        host.to(DEVICE)
        torch.mtia_sim.synchronize()  # type: ignore[attr-defined]
        torch.mtia_sim.reset_perf_counters()  # type: ignore[attr-defined]
        prepared.step()
        end.record()

    return replace(prepared, step=step)


def _cold_gemm(options: Options) -> Prepared:
    """A product whose operands come from DRAM: the SRAM is emptied before."""
    return _alone(_gemm(options), torch.mtia_sim.flush_cache)  # type: ignore[attr-defined]


def _flushed_gemm(options: Options) -> Prepared:
    """A product between fillings of 256 MiB, by which triton's do_bench and others empty the cache. These draw less
    than the products, which may draw so much more before the chip is at its limit."""
    buffer = torch.empty(1 << 26, dtype=torch.int32, device=DEVICE)
    return _alone(_gemm(options), buffer.zero_)


def _rested_gemm(options: Options) -> Prepared:
    """A product after a pause, with an empty cache: one of few that a host submits, with copies between them."""
    return _alone(_gemm(options), lambda: torch.mtia_sim.flush_cache(rest_seconds=1))  # type: ignore[attr-defined]


def _streams(options: Options, count: int) -> tuple[list[Tensor], float]:
    # So long that no SRAM holds them; and the bytes of all.
    elements = (options.shape or (1 << 30, 1, 1))[0]
    tensors = [torch.empty(elements, dtype=DTYPES[options.dtype], device=DEVICE) for _ in range(count)]
    return tensors, float(sum(tensor.nbytes for tensor in tensors))


def _add(options: Options) -> Prepared:
    """out = left + right; items are the bytes of all three."""
    (left, right, out), moved = _streams(options, 3)
    described = f"addition of {out.numel()} elements"
    return Prepared(lambda: torch.add(left, right, out=out), moved, "byte", 0.0, described)


def _copy(options: Options) -> Prepared:
    """out = source; items are the bytes of both."""
    (source, out), moved = _streams(options, 2)
    return Prepared(lambda: out.copy_(source), moved, "byte", 0.0, f"copy of {out.numel()} elements")


def _triad(options: Options) -> Prepared:
    """out = left + 0.4 right, STREAM's; items are the bytes of all three."""
    (left, right, out), moved = _streams(options, 3)
    step = lambda: torch.add(left, right, alpha=0.4, out=out)  # noqa: E731
    return Prepared(step, moved, "byte", 2.0 * out.numel(), f"triad of {out.numel()} elements")


def _sum(options: Options) -> Prepared:
    """The sum of a tensor, which is read only; items are its bytes."""
    (source,), moved = _streams(options, 1)
    return Prepared(lambda: source.sum(), moved, "byte", float(source.numel()), f"sum of {source.numel()} elements")


WORKLOADS: Mapping[str, Callable[[Options], Prepared]] = {
    **{f"{name}-{kind}": (lambda options, n=name, m=make: m(n, options))  # type: ignore[misc]
       for name in SIZES for kind, make in (("train", _train), ("prefill", _prefill), ("decode", _decode))},
    **{name: (lambda options, n=name: _job(n, options))  # type: ignore[misc]
       for name, job in JOBS.items() if job.pipeline == 1},
    "gemm": _gemm,
    "gemms": _gemms,
    "cold-gemm": _cold_gemm,
    "flushed-gemm": _flushed_gemm,
    "rested-gemm": _rested_gemm,
    "add": _add,
    "copy": _copy,
    "triad": _triad,
    "sum": _sum,
    "attention": _attention,
    "attention-forward": lambda options: _attention(options, backward=False),
    "attention-forward-full": lambda options: _attention(options, backward=False, causal=False),
}  # fmt: skip


def prepare(workload: str, options: Options) -> Prepared:
    """Makes a workload ready on the current device: one of WORKLOADS, or FILE.py:function.

    Raises:
        InvalidArgument: There is no such workload, file or function, or no such dtype.
    """
    if options.dtype not in DTYPES:
        raise InvalidArgument(f"there is no dtype {options.dtype!r}", remedy=f"give one of {', '.join(DTYPES)}")
    if workload in WORKLOADS:
        return WORKLOADS[workload](options)
    path, name = own_workloads.locate(workload, WORKLOADS)
    return Prepared(own_workloads.load(path, name), 1, "call", 0.0, f"{name} of {path}")
