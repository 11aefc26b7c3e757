"""What a run measures, and the summary that it writes."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from .chip import Chip, ChipUse
from .files import write_atomically
from .options import Options
from .parallel import Plan


@dataclasses.dataclass
class History:
    """Losses in nats: of every step, None where nothing is computed, and on held-out text as (steps done, loss)."""

    losses: list[float | None] = dataclasses.field(default_factory=list)
    held_out: list[tuple[int, float]] = dataclasses.field(default_factory=list)

    def state(self) -> dict[str, Any]:
        return {"losses": self.losses, "held_out": [list(point) for point in self.held_out]}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "History":
        return cls(list(state["losses"]), [(int(step), float(loss)) for step, loss in state["held_out"]])


@dataclasses.dataclass
class Speed:
    """Steps of this process, their host time and, where counted, their chip time; evaluation is left out."""

    steps: int = 0
    host_seconds: float = 0.0
    warm_steps: int = 0
    warm_seconds: float = 0.0
    chip: ChipUse = dataclasses.field(default_factory=ChipUse)

    def add(self, steps: int, seconds: float) -> None:
        """Counts a stretch of steps; the first one compiles kernels, so it is not among the warm ones."""
        if self.steps:
            self.warm_steps += steps
            self.warm_seconds += seconds
        self.steps += steps
        self.host_seconds += seconds

    def host_tokens_per_second(self, tokens_per_step: int) -> float | None:
        """Over the warm steps, or over all where there are no warm ones."""
        steps, seconds = (self.warm_steps, self.warm_seconds) if self.warm_steps else (self.steps, self.host_seconds)
        return steps * tokens_per_step / seconds if seconds else None

    def chip_tokens_per_second(self, tokens_per_step: int) -> float | None:
        return self.steps * tokens_per_step / self.chip.seconds if self.chip.seconds else None


def summarize(
    options: Options, history: History, speed: Speed, chip: Chip, parameters: int, vocabulary: int, plan: Plan
) -> dict[str, Any]:
    """The keys of summary.json; chip values are None where the device counts nothing.

    Of several ranks, times, units and kernels are those of rank 0's chip, joules those of all chips.

    `mfu` is the model FLOPs of the training steps over what the chips' peak for the dtype allows in their chip time.
    """
    tokens_per_step = options.batch * options.seq
    seconds = joules = mfu = None
    if chip.counts and speed.steps:
        seconds = speed.chip.seconds / speed.steps
        joules = plan.sum(speed.chip.joules) / speed.steps
        peak = chip.peak_flops(options.dtype)
        if peak and seconds:
            flops = tokens_per_step * options.size.training_flops_per_token(vocabulary, options.seq)
            mfu = flops / (seconds * peak * plan.ranks)
    return {
        "steps": len(history.losses),
        "losses": history.losses,
        "val_loss_first": history.held_out[0][1] if history.held_out else None,
        "val_loss_last": history.held_out[-1][1] if history.held_out else None,
        "parameters": parameters,
        "host_tokens_per_s": speed.host_tokens_per_second(tokens_per_step),
        "chip_tokens_per_s": speed.chip_tokens_per_second(tokens_per_step),
        "chip_seconds_per_step": seconds,
        "joules_per_step": joules,
        "joules_per_token": None if joules is None else joules / tokens_per_step,
        "tokens_per_joule": tokens_per_step / joules if joules else None,
        "mfu": mfu,
        "busy": speed.chip.busy(),
        "fallbacks": chip.fallbacks(),
        "peak_memory_bytes": chip.peak_memory_bytes(),
        "chip": chip.name(),
        "dtype": options.dtype,
        "seed": options.seed,
        "mode": options.mode,
        "parallel": options.parallel,
        "ranks": plan.ranks,
        "stand_in_fraction": chip.stand_in_fraction(),
        "by_kernel": speed.chip.by_kernel,
        "by_level": speed.chip.by_level,
    }


def write_summary(path: Path, summary: dict[str, Any]) -> None:
    write_atomically(path, lambda temporary: temporary.write_text(json.dumps(summary, indent=1) + "\n"))
