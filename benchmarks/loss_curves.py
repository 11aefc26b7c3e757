#!/usr/bin/env python3
"""Losses of the same training run on CPU torch and on a device: float32 must agree, bfloat16 within its noise.

    python benchmarks/loss_curves.py [--device mtia_sim] [--model tiny] [--steps 60] [--out runs/loss_curves]

Writes OUT/loss_curves.json and OUT/loss_curves.png; the exit status is 1 if a bound of BOUNDS does not hold.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

# Largest relative difference of a loss from CPU torch's, over the first so many steps.
BOUNDS = {"float32": {10: 1e-4, 50: 1e-3}, "bfloat16": {10: 1e-2, 50: 3e-2}}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--device", default="mtia_sim", help="torch device to compare with the CPU")
    parser.add_argument("--model", default="tiny", help="size of examples/train_llama.py")
    parser.add_argument("--impl", default="plain", choices=("plain", "hf"), help="as in examples/train_llama.py")
    parser.add_argument("--dtype", choices=tuple(BOUNDS), help="this dtype only")
    parser.add_argument("--steps", type=int, default=60, help="training steps of each run")
    parser.add_argument("--batch", type=int, default=4, help="sequences a step")
    parser.add_argument("--seq", type=int, default=256, help="tokens a sequence")
    parser.add_argument("--seed", type=int, default=0, help="decides weights and batches")
    parser.add_argument("--data", type=Path, default=None, help="text; Python's standard library if left out")
    parser.add_argument("--out", type=Path, default=Path("runs/loss_curves"), help="folder for the results")
    return parser.parse_args()


def losses_on(device: str, dtype: str, arguments: argparse.Namespace) -> list[float]:
    """Losses of a run of train_llama.py's loop on a device."""
    from llama.options import parse_options
    from llama.training import Run

    options = ["--device", device, "--dtype", dtype, "--out", str(arguments.out / f"{device}-{dtype}")]
    for name in ("model", "impl", "steps", "batch", "seq", "seed"):
        options += [f"--{name}", str(getattr(arguments, name))]
    if arguments.data is not None:
        options += ["--data", str(arguments.data)]
    run = Run(parse_options([*options, "--eval-every", str(arguments.steps)]))
    run.train()
    return run.history.losses


def relative_differences(losses: list[float], reference: list[float]) -> list[float]:
    return [abs(loss - other) / abs(other) for loss, other in zip(losses, reference, strict=True)]


def broken_bounds(dtype: str, differences: list[float]) -> list[str]:
    """A sentence for each bound of BOUNDS that does not hold."""
    return [
        f"{dtype}: a loss of the first {steps} steps differs by {max(differences[:steps]):.2g}, the bound is {bound:g}"
        for steps, bound in BOUNDS[dtype].items()
        if not max(differences[:steps]) <= bound
    ]


def plot(path: Path, device: str, curves: dict[str, tuple[list[float], list[float]]]) -> None:
    """A column for each dtype: both curves above, their relative difference below."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        2, len(curves), figsize=(6 * len(curves), 6), layout="constrained", squeeze=False, height_ratios=(2, 1)
    )
    for (above, below), (dtype, (losses, reference)) in zip(axes.T, curves.items(), strict=True):
        steps = range(1, len(losses) + 1)
        above.plot(steps, reference, color="tab:orange", linewidth=3, alpha=0.6, label="cpu")
        above.plot(steps, losses, color="tab:blue", linewidth=1, label=device)
        above.set(title=dtype, ylabel="loss (nats a token)")
        above.legend()
        below.semilogy(steps, [max(each, 1e-9) for each in relative_differences(losses, reference)], ".")
        below.set(xlabel="step", ylabel="relative difference")
        below.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def main() -> int:
    arguments = parse_arguments()
    curves, broken = {}, []
    for dtype in BOUNDS if arguments.dtype is None else (arguments.dtype,):
        reference, losses = (losses_on(device, dtype, arguments) for device in ("cpu", arguments.device))
        differences = relative_differences(losses, reference)
        curves[dtype] = (losses, reference)
        broken += broken_bounds(dtype, differences)
        print(f"{dtype}: largest relative difference of {len(losses)} losses {max(differences):.2g}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    plot(arguments.out / "loss_curves.png", arguments.device, curves)
    record = {dtype: {arguments.device: losses, "reference": other} for dtype, (losses, other) in curves.items()}
    (arguments.out / "loss_curves.json").write_text(json.dumps(record, indent=1) + "\n")
    for sentence in broken:
        print(sentence, file=sys.stderr)
    print(f"results are in {arguments.out}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
