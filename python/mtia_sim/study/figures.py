"""Published figures that the model is held against: what was measured, by whom, and the run that answers it here.

A figure calibrates, where a chip file holds a number that was derived from it, or checks: no figure is both.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from mtia_core.chips import Chip
from mtia_sim.study.comparison import peak_flops
from mtia_sim.study.runs import Run
from mtia_sim.study.workloads import Options

Measurements = Sequence[Mapping[str, Any]]
Metric = Callable[[Chip, Measurements], float]


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
    published_to: float | None = None  # the other end, where a range was published

    def error(self, model: float) -> float:
        """The model's error as a fraction of what was published; 0 within a published range."""
        other = self.published if self.published_to is None else self.published_to
        nearest = min(max(model, self.published), other)
        return model / nearest - 1


def share_of_peak(chip: Chip, measurements: Measurements) -> float:
    """Mean over the runs of model FLOPs a second over the half-precision peak, per cent."""
    return 100 * fmean(each["model_flops"] / each["seconds"] / peak_flops(chip, "float16") for each in measurements)


def best_share_of_peak(chip: Chip, measurements: Measurements) -> float:
    """The largest share of the half-precision peak among the runs, per cent."""
    return 100 * max(each["model_flops"] / each["seconds"] / peak_flops(chip, "float16") for each in measurements)


def rate(chip: Chip, measurements: Measurements) -> float:
    """Items a second."""
    return float(measurements[0]["items"] / measurements[0]["seconds"])


def teraflops(chip: Chip, measurements: Measurements) -> float:
    """Model FLOPs a second, 1e12."""
    return float(measurements[0]["model_flops"] / measurements[0]["seconds"] / 1e12)


def microseconds(chip: Chip, measurements: Measurements) -> float:
    """Chip time of one step, us."""
    return float(measurements[0]["seconds"] * 1e6)


def joules(chip: Chip, measurements: Measurements) -> float:
    """Joules an item."""
    return float(measurements[0]["joules"] / measurements[0]["items"])


def watts(chip: Chip, measurements: Measurements) -> float:
    """Mean power of a step, W."""
    return float(measurements[0]["joules"] / measurements[0]["seconds"])


def terabytes(chip: Chip, measurements: Measurements) -> float:
    """Bytes that the step asks for a second, 1e12: three tensors of an addition, two of a copy."""
    return float(measurements[0]["items"] / measurements[0]["seconds"] / 1e12)


def speedup(chip: Chip, measurements: Measurements) -> float:
    """Rate of the first run over that of the second, less one, per cent."""
    return float(100 * (measurements[1]["seconds"] / measurements[0]["seconds"] - 1))


# Products of Llama and of public benchmarks' lists, intensity above 400 FLOPs a byte in bf16: rows of a batch of tokens
# by the projections of Llama 2 7B and Llama 3 8B, 70B and 405B, and squares (rows x columns x depth).
INTENSE = tuple(
    [(rows, columns, depth)
     for rows in (2048, 4096, 8192)
     for columns, depth in ((4096, 4096), (6144, 4096), (14336, 4096), (28672, 4096), (4096, 14336), (11008, 4096),
                            (4096, 11008), (8192, 8192), (10240, 8192), (28672, 8192), (8192, 28672), (16384, 16384))]
    + [(size, size, size) for size in (1280, 1536, 2560, 3072, 5120, 6144)]
)  # fmt: skip


def gemm(chip: str, *shapes: tuple[int, int, int], dtype: str = "bfloat16") -> tuple[Run, ...]:
    """Runs of products."""
    return tuple(Run("gemm", chip, Options(dtype=dtype, shape=shape)) for shape in shapes)


def _llama(chip: str, name: str, **options: Any) -> tuple[Run, ...]:
    return (Run(name, chip, Options(**options)),)


_ISCA25, _ISCA26 = "ISCA 2025, doi 10.1145/3695053.3731409", "ISCA 2026, MTIA 300"
_TITAN, _LLAMA3 = "torchtitan, arXiv 2410.06511", "Llama 3, arXiv 2407.21783"
_FAST = "gpt-fast, README (A100 held at 330 W)"
_SHARDED = "One chip of a sharded run: no communication is in the model yet."

FIGURES: tuple[Figure, ...] = (
    # ---- MTIA 2i
    Figure("mtia2i", "product of 2048^3, fp16, % of peak (over)", 92, "%", f"{_ISCA25}, 3.3", "checks",
           gemm("mtia2i", (2048, 2048, 2048), dtype="float16"), share_of_peak),
    Figure("mtia2i", "products whose tensors lie in SRAM, % of peak (at least)", 93, "%", f"{_ISCA25}, 4.2", "checks",
           gemm("mtia2i", (4096, 4096, 4096), (4096, 4096, 2048), dtype="float16"), share_of_peak),
    Figure("mtia2i", "product of 512 x 26592 x 2048, 109 MB of weights from DRAM", 560, "us",
           f"{_ISCA25}, derived from over 95 % of DRAM bandwidth", "checks",
           (Run("cold-gemm", "mtia2i", Options(dtype="float16", shape=(512, 26592, 2048))),), microseconds),
    Figure("mtia2i", "1.35 instead of 1.1 GHz, more throughput (of Llama 2 7B's prompt of 2,048)", 5, "%",
           f"{_ISCA25}: 5 to 20 % over their models", "checks",
           (Run("llama2-7b-prefill", "mtia2i", Options(dtype="float16")),
            Run("llama2-7b-prefill", "mtia2i", Options(dtype="float16"), (("clock_hz", 1.1e9),))), speedup,
           published_to=20),
    # ---- MTIA 300, H100 of 96 GB, H200: ISCA 2026
    Figure("mtia300", "addition of large bf16 tensors", 5.57, "TB/s", f"{_ISCA26}: add", "calibrates",
           (Run("add", "mtia300"),), terabytes),
    *(Figure(chip, "addition of large bf16 tensors", published, "TB/s", f"{_ISCA26}: add", "checks",
             (Run("add", chip),), terabytes)
      for chip, published in (("h100_500w", 2.26), ("h200", 4.40))),
    *(Figure(chip, f"{len(INTENSE)} products of intensity above 400, mean % of peak", published, "%",
             f"{_ISCA26}: GEMM (their shapes are not public)", "checks", gemm(chip, *INTENSE), share_of_peak,
             "No contention in the network on chip, no power limit: the model is too good at large products.")
      for chip, published in (("mtia300", 59), ("h100_500w", 63), ("h200", 54))),
    Figure("mtia300", "favourable products, % of peak (above)", 90, "%", f"{_ISCA26}: GEMM", "checks",
           gemm("mtia300", *INTENSE), best_share_of_peak),
    # ---- training of Llamas, one chip
    Figure("h100_500w", "Llama 3 8B training, tokens a second", 5762, "tok/s", f"{_TITAN}: 8 GPUs, eager", "checks",
           _llama("h100_500w", "llama3-8b-train"), rate, _SHARDED),
    Figure("h100_500w", "Llama 3 8B training, energy a token at 500 W (at most)", 500 / 5762, "J",
           f"{_TITAN}: power limit over rate", "checks", _llama("h100_500w", "llama3-8b-train"), joules, _SHARDED),
    Figure("a100", "Llama 3 8B training, tokens a second", 2973, "tok/s", "64 A100, 58.2 % MFU (chips.md)", "checks",
           _llama("a100", "llama3-8b-train"), rate, _SHARDED),
    Figure("h100", "Llama 3 8B pretraining, energy a token at 700 W", 0.25, "J",
           "Llama 3.1 model card: 1.46 M H100-hours, 15 T tokens", "checks", _llama("h100", "llama3-8b-train"), joules,
           _SHARDED),
    Figure("h100", "Llama 3 405B layers, TFLOP/s", 430, "TFLOP/s", f"{_LLAMA3}, table 4: 8,192 GPUs, 8K", "checks",
           _llama("h100", "llama3-405b-train", layers=2), teraflops, _SHARDED),
    # ---- decoding
    Figure("a100", "Llama 2 7B, one sequence, tokens a second in bf16", 104.9, "tok/s", _FAST, "checks",
           _llama("a100", "llama2-7b-decode", sequence=256), rate),
    Figure("a100", "Llama 2 7B, one sequence, energy a token at 330 W (at most)", 330 / 104.9, "J", _FAST, "checks",
           _llama("a100", "llama2-7b-decode", sequence=256), joules),
    Figure("h100", "Llama 3.1 8B, 64 sequences, energy a token", 0.12, "J", "ML.ENERGY v3 (0.20 falling to 0.12)",
           "checks",
           _llama("h100", "llama3-8b-decode", batch=64, sequence=512), joules),
    # ---- products of other chips
    Figure("mi300x", "products in bf16, measured best", 708, "TFLOP/s", "chips.md, section 5", "checks",
           gemm("mi300x", (8192, 8192, 8192)), teraflops),
    # ---- power
    Figure("mtia300", "power of a large product", 667, "W", f"{_ISCA26}, table I: typical", "calibrates",
           gemm("mtia300", (8192, 8192, 8192)), watts),
    Figure("mtia2i", "power of a large product", 65, "W", f"{_ISCA25}: typical", "calibrates",
           gemm("mtia2i", (4096, 4096, 4096), dtype="float16"), watts),
    Figure("h100", "power of a large product", 700, "W", "H100 SXM: thermal design power, reached by products",
           "checks",
           gemm("h100", (8192, 8192, 8192)), watts),
)  # fmt: skip
