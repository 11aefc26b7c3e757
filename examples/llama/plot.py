"""Picture of a run's losses."""

from pathlib import Path

from .files import write_atomically
from .results import History

SMOOTHING = 0.9  # weight of the past in the exponential mean


def smooth(losses: list[float]) -> list[float]:
    """Exponential mean of `losses`, corrected for its start."""
    mean, weight, means = 0.0, 0.0, []
    for loss in losses:
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        weight = SMOOTHING * weight + (1 - SMOOTHING)
        means.append(mean / weight)
    return means


def plot_losses(path: Path, history: History, title: str) -> None:
    """Writes a PNG of the losses of training steps and on held-out text."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    steps = range(1, len(history.losses) + 1)
    axes.plot(steps, history.losses, color="tab:blue", alpha=0.3, linewidth=1, label="training step")
    axes.plot(steps, smooth(history.losses), color="tab:blue", label="training, smoothed")
    axes.plot(*zip(*history.held_out, strict=True), "o-", color="tab:orange", label="held-out text")
    axes.set(xlabel="step", ylabel="loss (nats a token)", title=title)
    axes.grid(alpha=0.3)
    axes.legend()
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=120))
    pyplot.close(figure)
