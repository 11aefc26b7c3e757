"""Command line of train_llama.py; imports no torch, because --chip must be known before torch is imported."""

import argparse
import dataclasses
import os
from pathlib import Path

from .errors import UserError
from .sizes import SIZES, Size

IMPLEMENTATIONS = ("plain", "hf")
DTYPES = ("float32", "bfloat16", "amp")
BYTE_VOCABULARY = 256
MODES = ("functional", "timing")
PLANS = ("none", "ddp", "fsdp", "tp", "fsdp+tp", "pp")
TENSOR_RANKS = 2  # of fsdp+tp
LEAST_VALUES = {
    "steps": 1,
    "layers": 1,
    "batch": 1,
    "seq": 2,
    "seed": 0,
    "eval_every": 1,
    "checkpoint_every": 1,
    "sample": 0,
    "microbatches": 1,
}


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of one run; `lr` None takes the size's own learning rate, `data` None the standard library."""

    device: str
    model: str
    impl: str
    dtype: str
    steps: int
    batch: int
    seq: int
    lr: float | None
    seed: int
    data: Path | None
    vocab: int
    out: Path
    resume: bool
    chip: str | None
    mode: str
    layers: int | None
    recompute: bool
    eval_every: int
    checkpoint_every: int
    sample: int
    parallel: str
    microbatches: int

    @property
    def size(self) -> Size:
        size = SIZES[self.model]
        return size if self.layers is None else dataclasses.replace(size, layers=self.layers)

    @property
    def learning_rate(self) -> float:
        return self.size.learning_rate if self.lr is None else self.lr

    @property
    def is_timed_only(self) -> bool:
        return self.mode == "timing"

    def identity(self) -> dict[str, str | int | float]:
        """What decides the losses of a run: a checkpoint resumes only where all of these are the same."""
        return {
            "model": self.model,
            "layers": self.size.layers,
            "impl": self.impl,
            "dtype": self.dtype,
            "steps": self.steps,
            "batch": self.batch,
            "seq": self.seq,
            "lr": self.learning_rate,
            "seed": self.seed,
            "data": "" if self.data is None else str(self.data.resolve()),
            "vocab": self.vocab,
        }


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Trains a Llama on text and reports loss, speed and, where the device counts them, chip time and "
        "energy.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--device", default="mtia_sim", help="a torch device, for example mtia_sim or cpu")
    parser.add_argument("--model", default="tiny", choices=tuple(SIZES), help="size: about so many parameters")
    parser.add_argument("--impl", default="plain", choices=IMPLEMENTATIONS, help="hf: transformers' LlamaForCausalLM")
    parser.add_argument("--dtype", default="float32", choices=DTYPES, help="amp: float32 weights, bfloat16 autocast")
    parser.add_argument("--steps", type=int, default=300, help="training steps in all, resumed ones included")
    parser.add_argument("--batch", type=int, default=4, help="sequences a step")
    parser.add_argument("--seq", type=int, default=256, help="tokens a sequence")
    parser.add_argument("--lr", type=float, default=None, help="peak learning rate; the size's own if left out")
    parser.add_argument("--seed", type=int, default=0, help="decides weights, batches and sample")
    parser.add_argument(
        "--data", type=Path, default=None, help="text file or folder; Python's standard library if left out"
    )
    parser.add_argument("--vocab", type=int, default=BYTE_VOCABULARY, help="256: bytes; more: a byte-pair encoding")
    parser.add_argument("--out", type=Path, default=Path("runs/llama"), help="folder for the results")
    parser.add_argument("--resume", action="store_true", help="go on from OUT/checkpoint.pt where there is one")
    parser.add_argument("--chip", default=None, help="name or TOML file of the chip that the device shall emulate")
    parser.add_argument(
        "--mode", default="functional", choices=MODES, help="timing: what it would take on the chip, without its values"
    )
    parser.add_argument("--layers", type=int, default=None, help="layers of the model; the size's own if left out")
    parser.add_argument(
        "--recompute", action="store_true", help="keep no activations of a layer, compute them again in backward"
    )
    parser.add_argument("--eval-every", type=int, default=100, help="steps between losses on held-out text")
    parser.add_argument("--checkpoint-every", type=int, default=50, help="steps between checkpoints")
    parser.add_argument(
        "--parallel", default="none", choices=PLANS, help="how the processes that torchrun started share the work"
    )
    parser.add_argument("--microbatches", type=int, default=2, help="parts of the batch under way with --parallel pp")
    parser.add_argument("--sample", type=int, default=160, help="tokens of generated text at the end; 0 for none")
    return parser


def parse_options(arguments: list[str] | None = None) -> Options:
    """Options of the command line, checked; a value that cannot work raises UserError."""
    options = Options(**vars(build_parser().parse_args(arguments)))
    for name, least in LEAST_VALUES.items():
        value = getattr(options, name)
        if value is not None and value < least:
            raise UserError(f"--{name.replace('_', '-')} is {value}; it must be {least} or more")
    if options.vocab < BYTE_VOCABULARY:
        raise UserError(
            f"--vocab is {options.vocab}; {BYTE_VOCABULARY} means bytes, more trains a byte-pair encoding of that size"
        )
    if options.learning_rate <= 0:
        raise UserError(f"--lr is {options.lr}; it must be above 0, for example {SIZES[options.model].learning_rate}")
    if options.data is not None and not options.data.exists():
        raise UserError(f"--data {options.data} does not exist; give a text file or a folder of text files")
    if options.out.exists() and not options.out.is_dir():
        raise UserError(f"--out {options.out} is a file; give the name of a folder")
    # A job of many ranks of which this process may be the only one: RANK/SIZE, in timing mode.
    job = os.environ.get(f"{options.device.split(':')[0].upper()}_WORLD")
    ranks = os.environ.get("WORLD_SIZE") if job is None else job.split("/")[-1]
    check_ranks(options, 1 if ranks is None else int(ranks), ranks is not None)
    return options


def check_ranks(options: Options, ranks: int, is_torchrun: bool) -> None:
    """Raises UserError where so many processes cannot share the work as --parallel says."""
    plan, size = options.parallel, options.size
    if plan == "none":
        if ranks > 1:
            raise UserError(f"{ranks} processes would all train the same; give --parallel, for example --parallel ddp")
        return
    if not is_torchrun:
        raise UserError(
            f"--parallel {plan} is for several processes; start it with "
            f"torchrun --nproc-per-node=2 examples/train_llama.py --parallel {plan}"
        )
    if options.impl == "hf" and plan not in ("ddp", "fsdp"):
        raise UserError(f"--parallel {plan} names the parts of the plain Llama; take --impl plain, ddp or fsdp")

    def divide(what: str, number: int, parts: int) -> None:
        if number % parts:
            raise UserError(f"--parallel {plan} cuts {what} into {parts} parts, and {number} is no multiple of it")

    tensor = {"tp": ranks, "fsdp+tp": TENSOR_RANKS}.get(plan, 1)
    if plan == "fsdp+tp":
        divide("the processes", ranks, TENSOR_RANKS)
    divide("--seq", options.seq, tensor)
    divide(f"the key heads of --model {options.model}", size.key_value_heads, tensor)
    divide("--batch", options.batch, 1 if plan in ("tp", "pp") else ranks // tensor)
    if plan == "pp":
        divide(f"the layers of --model {options.model}", size.layers, ranks)
        divide("--batch", options.batch, options.microbatches)
