"""Published figures of training on thousands of chips, answered by a plan whose stages are measured (many_chips)."""

from mtia_core.chips import Chip
from mtia_sim.study import many_chips, prices
from mtia_sim.study.comparison import peak_flops
from mtia_sim.study.figures import Figure
from mtia_sim.study.metrics import Measurements
from mtia_sim.study.plans import parse_plan
from mtia_sim.study.runs import Run
from mtia_sim.study.workloads import Options

_LLAMA3 = "Llama 3, arXiv 2407.21783, table 4"


def _figure(chips: int, plan: str, batch: int, sequence: int, published: float) -> Figure:
    """TFLOP/s a chip of h100 that trains Llama 3 405B; `batch` sequences a step. Nothing is recomputed, as there."""
    options = Options(batch=batch, sequence=sequence, recompute=0)
    job = many_chips.Job(Run("llama3-405b", "h100", options), chips, "llama3-405b")
    parsed = parse_plan(plan, chips, batch)
    runs = tuple(run for stage in many_chips.runs_of(job, parsed).values() for run in stage.values())

    def achieved(chip: Chip, measurements: Measurements) -> float:
        row = many_chips.row_of(job, parsed, dict(zip(runs, measurements, strict=True)), prices.load(None))
        return row.utilisation * peak_flops(chip, options.dtype) / 1e12

    what = f"Llama 3 405B on {chips:,} GPUs, sequences of {sequence:,}"
    return Figure(
        "h100", what, published, "TFLOP/s", f"{_LLAMA3}: {parsed}", "checks", runs, achieved, group="training"
    )


# Interleaved stages of one layer a part; the first and the last of 16 have seven layers.
JOB_FIGURES = (
    _figure(8192, "tp=8,pp=16,v=7", 2048, 8192, 430),
    _figure(16384, "tp=8,pp=16,v=7", 2048, 8192, 400),
    _figure(16384, "tp=8,cp=16,pp=16,v=7", 128, 131072, 380),
)
