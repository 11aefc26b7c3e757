"""Published figures that the model is held against: what was measured, by whom, and the run that answers it here.

A figure calibrates, where a chip file holds a number that was derived from it, or checks: no figure is both.
"""

from dataclasses import dataclass, replace
from math import inf
from typing import Any, Literal

from mtia_sim.study.metrics import (
    Metric,
    busy_watts,
    idle_watts,
    joules,
    microseconds,
    milliseconds,
    of_whole,
    peak_teraflops,
    rate,
    share_of,
    speedup,
    terabytes,
    teraflops,
    watts,
)
from mtia_sim.study.product_shapes import INTENSE, LLAMA_70B, XLA_INTENSE, Shape
from mtia_sim.study.runs import Run
from mtia_sim.study.workloads import Options

_KINDS_BY_UNIT = {"W": "power", "J": "energy"}
_KINDS_BY_WORKLOAD = {
    "gemm": "products",
    "add": "streams",
    "copy": "streams",
    "triad": "streams",
    "sum": "streams",
    "attention": "attention",
    "train": "training",
    "prefill": "serving",
    "decode": "serving",
}


@dataclass(frozen=True)
class Figure:
    """One published number: `metric` makes the model's of the measurements of `runs`, in the same unit.

    `cause`: where the model is known to be off, the reason that exists in hardware or software.
    """

    chip: str
    what: str
    published: float
    unit: str
    source: str
    role: Literal["calibrates", "checks"]
    runs: tuple[Run, ...]
    metric: Metric
    cause: str = ""
    sense: Literal["", "at least", "at most"] = ""
    published_to: float | None = None  # the other end, where a range was published
    group: str = ""  # what `kind` is, where neither unit nor workload tell it

    @property
    def kind(self) -> str:
        """What of a chip the figure is about."""
        if self.group:
            return self.group
        if self.unit in _KINDS_BY_UNIT:
            return _KINDS_BY_UNIT[self.unit]
        workload = self.runs[0].workload if self.runs else "gemm"  # without a run: a peak
        return next(kind for part, kind in _KINDS_BY_WORKLOAD.items() if part in workload)

    def error(self, model: float) -> float:
        """The model's error as a fraction of what was published; 0 where that holds of the model."""
        low = -inf if self.sense == "at most" else self.published
        high = inf if self.sense == "at least" else self.published if self.published_to is None else self.published_to
        nearest = min(max(model, low), high)
        return 0.0 if model == nearest else model / nearest - 1


def gemm(chip: str, *shapes: Shape, dtype: str = "bfloat16", how: str = "gemm") -> tuple[Run, ...]:
    """Runs of products. `how`: the workload, by how their source measured: one of workloads.WORKLOADS."""
    return tuple(Run(how, chip, Options(dtype=dtype, shape=shape)) for shape in shapes)


def held(runs: tuple[Run, ...], limit: float) -> tuple[Run, ...]:
    """The same runs on a chip that may draw `limit` W."""
    return tuple(replace(run, changes=(*run.changes, ("power_limit_watts", limit))) for run in runs)


def _run(workload: str, chip: str, **options: Any) -> tuple[Run, ...]:
    return (Run(workload, chip, Options(**options)),)


def _training(chip: str, model: str, **options: Any) -> tuple[Run, ...]:
    return tuple(Run(f"{model}-train", chip, Options(layers=layers, **options)) for layers in (2, 4))


def _stream(workload: str, chip: str) -> tuple[Run, ...]:
    return _run(workload, chip, dtype="float32", shape=(1 << 26,))  # BabelStream's default: 268 MB a tensor


_ISCA25, _ISCA26 = "ISCA 2025, doi 10.1145/3695053.3731409", "ISCA 2026, MTIA 300"
_TITAN = "torchtitan, benchmarks/llama3_h100_202412 (arXiv 2410.06511): 8 GPUs, selective recomputation"
_TITAN_TENSOR = "torchtitan, benchmarks/asyncTP_llama3_h100_2025-06: bf16, FSDP 32 and TP 8, all recomputed"
_TITAN_A100 = "torchtitan, docs/performance.md, 2024-10: 64 GPUs"
_DGXC = "NVIDIA DGX Cloud Benchmarking, Llama 3.1 recipe, README of 2025-04"
_MAXTEXT = "MaxText, docs/reference/models/tiering.md, 2025"
_FAST = "gpt-fast, README, 2024-09 (A100 held at 330 W)"
_MLENERGY = "ML.ENERGY v3, github.com/ml-energy/leaderboard, 2026-02: vLLM, chat, prompts included"
_AZURE = "Azure AI benchmarking guide, 2024-09"
_AZURE_25 = "Azure AI benchmarking guide, samuel-bohman's, 2025-07"
_BEKMAN = "S. Bekman, ml-engineering, compute/accelerator, 2026-08: the best of a search"
_SEMI = "SemiAnalysis, MI300X vs H100 vs H200, part 1, 2024-12-22: normal values, L2 emptied"
_XLA = "XLA, gpu/model/matmul_interpolator_data.h, 2025: measured on sm_90"
_V6E = "github.com/yangwhale/gpu-tpu-pedia, tpu/v7_perf, 2026-02-11: device trace"
_FLASH3 = "FlashAttention-3, arXiv 2407.08608"
_GPU_TRAVEL = "github.com/liangan1/GPU_travel, performance/flash-attn: FlashAttention-2"
_SHARDED = "One chip of a sharded run: no communication is in the model."
_FEW_PES = "Heads of 128 half fill an array of 256, and attention's reductions take as long as its products."
# Between fillings of 256 MiB that empty the cache: triton's do_bench, tritonbench and mamf-finder measure so. In a loop
# that is timed as a whole: SuperBench's cublaslt_gemm. Few, between copies from the host: XLA's matmul_perf_table_gen.
_FLUSHED, _LOOP, _RESTED = "flushed-gemm", "gemms", "rested-gemm"
_SECRET = "Public shapes of recommendation models stand for ISCA 2026's, whose kernels are not public either."
_EARLY = "The library of that month: in 2025-07 it reached 1,223 at 8192^3."

_TITAN_RATES = (("eager", "llama3-8b-train-8-eager", 5762), ("compiled", "llama3-8b-train-8", 6667))
_H100S_ADD = (("h100_500w", 2.26), ("h200", 4.40))
# Chip, its peak there, mean share, why the model is off.
_INTENSE_MEANS = (("mtia300", 560, 59, _SECRET), ("h100_500w", 780, 63, ""), ("h200", 989, 54, ""))
_MTIA_POWER = (("mtia1", f"{_ISCA25}, table 2", 25, 35), ("mtia2i", _ISCA25, 65, 85), ("mtia300", _ISCA26, 667, 912))
# BabelStream's dot reads two tensors and the sum here one: neither writes.
_Streams = tuple[str, str, Literal["calibrates", "checks"], tuple[tuple[str, float], ...]]
_STREAMS: tuple[_Streams, ...] = (
    ("a100", _AZURE, "checks", (("copy", 1.61), ("triad", 1.70), ("sum", 1.75))),
    ("h100", _AZURE, "calibrates", (("copy", 2.90), ("triad", 2.97), ("sum", 3.18))),
    ("h200", _AZURE, "checks", (("copy", 4.01), ("triad", 4.15), ("sum", 4.48))),
    ("mi300x", _AZURE_25, "checks", (("copy", 4.15), ("triad", 4.10), ("sum", 4.00))),
)
# ML.ENERGY: chip, model, sequences, ms a step, W, J a token. The first power calibrates h100's clock_watts, and so its
# energy a token is no check either.
_SERVED = (
    ("h100", "Llama 3.1 8B", "llama3-8b", 8, 7.32, 486.4, 0.4548),
    ("h100", "Llama 3.1 8B", "llama3-8b", 64, 11.50, 610.3, 0.1186),
    ("b200", "Llama 3.1 8B", "llama3-8b", 8, 4.57, 639.4, 0.3905),
    ("h100", "Qwen3 14B", "qwen3-14b", 8, 12.54, 443.0, 0.706),
    ("b200", "Qwen3 14B", "qwen3-14b", 8, 7.16, 760.0, 0.699),
)


def _role(power: float) -> Literal["calibrates", "checks"]:
    return "calibrates" if power == _SERVED[0][5] else "checks"


FIGURES: tuple[Figure, ...] = (
    # ---- MTIA 2i
    Figure("mtia2i", "product of 2048^3, fp16, % of peak", 92, "%", f"{_ISCA25}, 3.3", "checks",
           gemm("mtia2i", (2048, 2048, 2048), dtype="float16"), share_of(177), sense="at least"),
    Figure("mtia2i", "products whose tensors lie in SRAM, % of peak", 93, "%", f"{_ISCA25}, 4.2", "checks",
           gemm("mtia2i", (4096, 4096, 4096), (4096, 4096, 2048), dtype="float16"), share_of(177), sense="at least"),
    Figure("mtia2i", "product of 512 x 26592 x 2048, 109 MB of weights from DRAM", 560, "us",
           f"{_ISCA25}, derived from over 95 % of DRAM bandwidth", "checks",
           _run("cold-gemm", "mtia2i", dtype="float16", shape=(512, 26592, 2048)), microseconds),
    Figure("mtia2i", "1.35 instead of 1.1 GHz, more throughput (of Llama 2 7B's prompt of 2,048)", 5, "%",
           f"{_ISCA25}: 5 to 20 % over their models", "checks",
           (*_run("llama2-7b-prefill", "mtia2i", dtype="float16"),
            Run("llama2-7b-prefill", "mtia2i", Options(dtype="float16"), (("clock_hz", 1.1e9),))), speedup,
           published_to=20),
    Figure("mtia2i", "Llama 2 7B, first token (of a prompt of 2,048)", 600, "ms",
           f"{_ISCA25}: the prompt is not stated", "checks",
           _run("llama2-7b-prefill", "mtia2i", dtype="float16"), milliseconds, sense="at most"),
    *(Figure("mtia2i", f"{name}, a further token", 60, "ms", f"{_ISCA25}: misses 60 ms", "checks",
             _run(f"{model}-decode", "mtia2i", dtype="float16"), milliseconds, sense="at least")
      for name, model in (("Llama 2 7B", "llama2-7b"), ("Llama 3 8B", "llama3-8b"))),
    # ---- MTIA 300, H100 of 96 GB, H200: ISCA 2026
    Figure("mtia300", "addition of large bf16 tensors", 5.57, "TB/s", f"{_ISCA26}: add", "calibrates",
           _run("add", "mtia300"), terabytes),
    *(Figure(chip, "addition of large bf16 tensors", published, "TB/s", f"{_ISCA26}: add", "checks",
             _run("add", chip), terabytes)
      for chip, published in _H100S_ADD),
    *(Figure(chip, f"{len(INTENSE)} products of intensity above 400, mean % of {peak} TFLOP/s", published, "%",
             f"{_ISCA26}: GEMM (their shapes are not public)", "checks",
             gemm(chip, *INTENSE, how=_FLUSHED), share_of(peak), cause)
      for chip, peak, published, cause in _INTENSE_MEANS),
    Figure("mtia300", "a favourable product (3072 x 6144 x 8192), % of peak", 90, "%", f"{_ISCA26}: GEMM", "calibrates",
           gemm("mtia300", (3072, 6144, 8192), how=_FLUSHED), share_of(560), sense="at least"),
    Figure("h100_500w", "peak of products in bf16", 780, "TFLOP/s", f"{_ISCA26}: the clock", "calibrates", (),
           peak_teraflops),
    # ---- streams
    *(Figure(chip, f"{workload} of tensors of 268 MB", published, "TB/s", f"{source}: BabelStream", role,
             _stream(workload, chip), terabytes)
      for chip, source, role, streams in _STREAMS for workload, published in streams),
    # ---- products
    Figure("a100", "product of 8192^3, bf16, at 330 W", 257, "TFLOP/s", "H. He, thonking.ai, 2024-04", "checks",
           held(gemm("a100", (8192, 8192, 8192), how=_FLUSHED), 330), teraflops),
    Figure("a100", "product of 8192^3, fp16", 253.7, "TFLOP/s", f"{_AZURE}: cuBLASLt", "calibrates",
           gemm("a100", (8192, 8192, 8192), dtype="float16", how=_LOOP), teraflops),
    *(Figure("a100", f"product of {name}, fp16", published, "TFLOP/s", f"{_AZURE}: cuBLASLt", "checks",
             gemm("a100", shape, dtype="float16", how=_LOOP), teraflops)
      for name, shape, published in (("2048^3", (2048, 2048, 2048), 221.8), ("4096^3", (4096, 4096, 4096), 228.0),
                                     ("6144 x 12288 x 12288", (6144, 12288, 12288), 250.8))),
    Figure("a100", "product of 1024 x 10240 x 5120, bf16", 271.2, "TFLOP/s", _BEKMAN, "checks",
           gemm("a100", (1024, 10240, 5120), how=_FLUSHED), teraflops),
    *(Figure(chip, "products of Llama 70B, bf16", published, "TFLOP/s", _SEMI, "checks",
             gemm(chip, *LLAMA_70B, how=_FLUSHED), teraflops)
      for chip, published in (("h100", 720), ("h200", 720), ("mi300x", 620))),
    *(Figure(chip, "products of Llama 70B, fp8", published, "TFLOP/s", _SEMI, "checks",
             gemm(chip, *LLAMA_70B, dtype="float8_e4m3fn", how=_FLUSHED), teraflops, cause)
      for chip, published, cause in (("h100", 1280, ""), ("mi300x", 990, _EARLY))),
    *(Figure(chip, f"product of {size}^3, fp8", published, "TFLOP/s", f"{source}: cuBLASLt, hipBLASLt", "checks",
             gemm(chip, (size, size, size), dtype="float8_e4m3fn", how=_LOOP), teraflops)
      for chip, source, size, published in (("h100", _AZURE, 2048, 1011.3), ("h200", _AZURE, 8192, 1300.6),
                                            ("mi300x", _AZURE_25, 8192, 1222.9))),
    Figure("h100", f"{len(XLA_INTENSE)} products of powers of two above intensity 400, bf16, mean", 609.4, "TFLOP/s",
           _XLA, "checks", gemm("h100", *XLA_INTENSE, how=_RESTED), teraflops),
    Figure("h100", "product of 1024^3, bf16", 9.09, "us", _XLA, "checks",
           gemm("h100", (1024, 1024, 1024), how=_RESTED), microseconds),
    Figure("h100", "product of 2048 x 2048 x 13312, bf16", 794.5, "TFLOP/s", _BEKMAN, "checks",
           gemm("h100", (2048, 2048, 13312), how=_FLUSHED), teraflops),
    Figure("b200", "product of 1792 x 16128 x 3072, bf16", 1745, "TFLOP/s", _BEKMAN, "calibrates",
           gemm("b200", (1792, 16128, 3072), how=_FLUSHED), teraflops),
    Figure("b200", "product of 15360 x 4096 x 3072, fp8", 3432.5, "TFLOP/s", _BEKMAN, "checks",
           gemm("b200", (15360, 4096, 3072), dtype="float8_e4m3fn", how=_FLUSHED), teraflops),
    Figure("mi300x", "products in bf16, measured best (8192^3)", 708, "TFLOP/s",
           "AMD, Measuring Max-Achievable FLOPs, part 2, 2025", "calibrates",
           gemm("mi300x", (8192, 8192, 8192)), teraflops),
    Figure("mi300x", "product of 10240 x 15360 x 8192, bf16", 668.4, "TFLOP/s", _BEKMAN, "checks",
           gemm("mi300x", (10240, 15360, 8192), how=_FLUSHED), teraflops),
    Figure("tpu_v6e", "product of 8192^3, bf16", 727.7, "TFLOP/s", _V6E, "checks",
           gemm("tpu_v6e", (8192, 8192, 8192)), teraflops),
    # ---- attention, forward
    Figure("a100", "attention, 32 heads of 128, 4,096 tokens", 184.0, "TFLOP/s", _GPU_TRAVEL, "checks",
           _run("attention-forward-full", "a100", sequence=4096, shape=(32, 32, 128)), teraflops),
    Figure("a100", "causal attention, 32 heads of 128, 4,096 tokens", 156.3, "TFLOP/s", _GPU_TRAVEL, "checks",
           _run("attention-forward", "a100", sequence=4096, shape=(32, 32, 128)), teraflops),
    Figure("h100", "attention, 4 x 16 heads of 128, 8,448 tokens, fp16", 661, "TFLOP/s",
           f"{_FLASH3}, table 2: at 1.83 GHz", "checks",
           _run("attention-forward-full", "h100", dtype="float16", batch=4, sequence=8448, shape=(16, 16, 128)),
           teraflops),
    # ---- training of Llamas: steps on one of a job's chips, or where that is said of one chip alone
    *(Figure("h100_500w", f"Llama 3 8B training, {how}, tokens a second", published, "tok/s", _TITAN, "checks",
             _run(job, "h100_500w"), rate)
      for how, job, published in _TITAN_RATES),
    *(Figure("h100_500w", f"Llama 3 8B training, {how}, energy a token", 500 / published, "J",
             f"{_TITAN}; the limit over the rate", "checks", _run(job, "h100_500w"), joules)
      for how, job, published in _TITAN_RATES),
    Figure("h100_500w", "Llama 3 70B training on 256 GPUs, tokens a second", 597.3, "tok/s", _TITAN_TENSOR, "checks",
           _run("llama3-70b-train-256", "h100_500w"), rate),
    Figure("a100", "Llama 3 8B training, tokens a second", 2904, "tok/s",
           f"{_TITAN_A100}, every second layer recomputed", "checks",
           _training("a100", "llama3-8b", recompute=2), of_whole("llama3-8b", rate), _SHARDED),
    Figure("a100", "Llama 3 70B training, tokens a second", 331, "tok/s", f"{_TITAN_A100}, all recomputed", "checks",
           _training("a100", "llama3-70b"), of_whole("llama3-70b", rate), _SHARDED),
    *(Figure("h100", f"{name} training, tokens a second", published, "tok/s", f"{_DGXC}: {gpus} GPUs", "checks",
             _training("h100", model, recompute=0), of_whole(model, rate), _SHARDED)
      for name, model, gpus, published in (("Llama 3.1 8B", "llama3-8b", 8, 10682),
                                           ("Llama 3.1 70B", "llama3-70b", 64, 1118),
                                           ("Llama 3.1 405B", "llama3-405b", 512, 207))),
    Figure("h100", "Llama 3.1 8B training, energy a token", 700 / 10682, "J", f"{_DGXC}: the limit over the rate",
           "checks", _training("h100", "llama3-8b", recompute=0), of_whole("llama3-8b", joules)),
    Figure("h100", "Llama 3.1 8B pretraining, energy a token", 0.25, "J",
           "Llama 3.1 model card: 1.46 M H100-hours at 700 W, 15 T tokens", "checks",
           _training("h100", "llama3-8b", recompute=0), of_whole("llama3-8b", joules), sense="at most"),
    *(Figure("tpu_v6e", f"{name} training, tokens a second", published, "tok/s", f"{_MAXTEXT}: 256 chips", "checks",
             _training("tpu_v6e", model), of_whole(model, rate), _FEW_PES)
      for name, model, published in (("Llama 3.1 8B", "llama3-8b", 7207), ("Llama 3.1 70B", "llama3-70b", 960))),
    Figure("tpu_v5p", "Llama 2 70B training, tokens a second", 692, "tok/s", f"{_MAXTEXT}: 512 chips", "checks",
           _training("tpu_v5p", "llama2-70b", sequence=4096), of_whole("llama2-70b", rate), _SHARDED),
    # ---- decoding
    *(Figure("a100", f"{name}, one sequence, tokens a second in bf16", published, "tok/s", _FAST, "checks",
             held(_run(f"{model}-decode", "a100", sequence=128), 330), rate)
      for name, model, published in (("Llama 2 7B", "llama2-7b", 104.9), ("Llama 3.1 8B", "llama3-8b", 93.89))),
    Figure("a100", "Llama 2 7B, one sequence, energy a token", 330 / 104.9, "J", _FAST, "checks",
           held(_run("llama2-7b-decode", "a100", sequence=128), 330), joules, sense="at most"),
    *(Figure(chip, f"{name}, {batch} sequences, a step", step, "ms", f"{_MLENERGY}, median", "checks",
             _run(f"{model}-decode", chip, batch=batch, sequence=512), milliseconds)
      for chip, name, model, batch, step, _, _ in _SERVED),
    *(Figure(chip, f"{name}, {batch} sequences, power", power, "W", _MLENERGY, _role(power),
             _run(f"{model}-decode", chip, batch=batch, sequence=512), watts)
      for chip, name, model, batch, _, power, _ in _SERVED),
    *(Figure(chip, f"{name}, {batch} sequences, energy a token", energy, "J", _MLENERGY, _role(power),
             _run(f"{model}-decode", chip, batch=batch, sequence=512), joules)
      for chip, name, model, batch, _, power, energy in _SERVED),
    Figure("h200", "Phi-3 mini, 128 sequences, power", 517, "W", "Serial Alice, 2026: vLLM", "checks",
           _run("phi3-mini-decode", "h200", batch=128, sequence=512), watts),
    # ---- power
    *(Figure(chip, "power with all parts at half of the rates they reach", typical, "W", f"{source}: typical",
             "calibrates", (), busy_watts(0.5))
      for chip, source, typical, _ in _MTIA_POWER),
    *(Figure(chip, "power with all parts at the rates they reach", limit, "W",
             f"{source}: thermal design power", "checks", (), busy_watts(1.0))
      for chip, source, _, limit in _MTIA_POWER),
    Figure("h100", "power of a large product", 700, "W", "H100 SXM data sheet: the limit, which products reach",
           "checks", gemm("h100", (8192, 8192, 8192)), watts),
    Figure("a100", "idle power", 88, "W", "H. He, thonking.ai, 2024-04", "calibrates", (), idle_watts),
    Figure("h200", "idle power", 73.7, "W", "RunPod, 31 regions, by ConserveMode; Serial Alice 80.3", "calibrates",
           (), idle_watts, published_to=80.3),
    Figure("b200", "idle power", 137, "W", "github.com/ROCm/ROCm issue 5219, 2025-08-21: air cooled", "checks",
           (), idle_watts),
)  # fmt: skip
