"""Suite `llama`: whole training steps of the example's Llama, against CPU torch in eager mode."""

import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from .measure import Call, Case

EXAMPLES = Path(__file__).parents[2] / "examples"
SUITE = "llama"
MODEL, BATCH, SEQUENCE = "30m", 4, 256
DTYPES = ("float32", "bfloat16", "amp")
TOLERANCE = {"float32": 1e-4, "bfloat16": 1e-2, "amp": 1e-2}  # of the loss after the first steps, relative


def training_step(device: torch.device, model_name: str, dtype: str, batch: int, sequence: int) -> Call:
    """A call that does one training step of the example's loop on random tokens and returns its loss."""
    if str(EXAMPLES) not in sys.path:
        sys.path.insert(0, str(EXAMPLES))
    from llama.options import parse_options
    from llama.parallel import Plan
    from llama.steps import build_model, build_optimizer, train_on

    options = parse_options(
        [
            "--device",
            str(device),
            "--model",
            model_name,
            "--dtype",
            dtype,
            "--batch",
            str(batch),
            "--seq",
            str(sequence),
        ]
    )
    plan = Plan()
    model, _ = build_model(options, options.vocab, device, plan)
    optimizer = build_optimizer(model, options.learning_rate)
    tokens = torch.randint(options.vocab, (batch, sequence + 1), generator=torch.Generator().manual_seed(0))
    inputs, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
    return lambda: train_on(model, optimizer, inputs.to(device), targets.to(device), dtype, plan)


def cases() -> Iterator[Case]:
    from_size = f"{MODEL} {BATCH}x{SEQUENCE}"
    for dtype in DTYPES:

        def build(device: torch.device, dtype: str = dtype) -> Call:
            return training_step(device, MODEL, dtype, BATCH, SEQUENCE)

        yield Case(SUITE, "train_step", dtype, from_size, build, flops(), 0, TOLERANCE[dtype])


def flops() -> int:
    """Model FLOPs of a step at MODEL, BATCH, SEQUENCE with a vocabulary of bytes."""
    if str(EXAMPLES) not in sys.path:
        sys.path.insert(0, str(EXAMPLES))
    from llama.sizes import SIZES

    return BATCH * SEQUENCE * SIZES[MODEL].training_flops_per_token(256, SEQUENCE)
