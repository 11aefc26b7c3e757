"""The run: model and text, the training steps, held-out losses, checkpoints, summary, picture and sample."""

import functools
import math
import sys
import time
from collections.abc import Iterator

import torch
from torch import Tensor
from tqdm import tqdm

from .checkpoint import checkpoint_file, load_checkpoint, save_checkpoint
from .chip import Chip
from .data import Corpus, RandomTokenizer, load_corpus, random_corpus
from .errors import UserError
from .options import Options
from .parallel import open_plan
from .plot import plot_losses
from .results import History, Speed, summarize, write_summary
from .sample import sample_text
from .steps import autocast, build_model, build_optimizer, learning_rate_at, loss_of, train_on

HELD_OUT_BATCHES = 8
LOSSES_KEPT_ON_DEVICE = 10  # steps between two waits for the device


def open_device(name: str) -> torch.device:
    """The torch device called `name`, after something ran on it."""
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"--device {name} cannot be used: {reason}. Build and install the device's package in this Python "
            f"({sys.executable}), or take --device cpu"
        ) from error
    return device


class Run:
    """One training run; `history` and `speed` grow as it goes on."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.device = open_device(options.device)
        self.plan = open_plan(options, self.device)
        self.chip = Chip(self.device)
        self.corpus = self._load_corpus()
        vocabulary = self.corpus.tokenizer.vocabulary
        self.model, self.parameters = build_model(options, vocabulary, self.device, self.plan)
        self.optimizer = build_optimizer(self.model, options.learning_rate)
        self.history = History()
        self.speed = Speed()

    def _load_corpus(self) -> Corpus:
        options = self.options
        vocabulary = options.size.vocabulary
        if vocabulary is not None and options.data is None:
            return random_corpus(vocabulary, options.batch, options.seq, options.seed)
        return load_corpus(options.data, options.vocab, options.batch, options.seq, options.seed)

    def resume(self) -> None:
        """Goes back to the last checkpoint, if there is one."""
        history = load_checkpoint(self.options, self.model, self.optimizer, self.chip, self.plan)
        if history is None:
            self.plan.say(f"{checkpoint_file(self.options)} does not exist yet: starting from step 0")
        else:
            self.history = history
            self.plan.say(f"resumed from {checkpoint_file(self.options)} at step {len(history.losses)}")

    def train(self) -> None:
        """Trains to the last step; checkpoints, held-out losses and the progress bar come at the steps due."""
        options = self.options
        done = len(self.history.losses)
        if not self.history.held_out and not options.is_timed_only:
            self._evaluate(0)
        with tqdm(
            total=options.steps, initial=done, unit="step", dynamic_ncols=True, disable=not self.plan.speaks
        ) as progress:
            for first, last in self._stretches(done):
                self._train_stretch(first, last)
                is_last = last == options.steps
                if not options.is_timed_only and (last % options.eval_every == 0 or is_last):
                    self._evaluate(last)
                if not options.is_timed_only and (last % options.checkpoint_every == 0 or is_last):
                    save_checkpoint(options, self.model, self.optimizer, self.history, self.chip, self.plan)
                progress.set_postfix_str(self._status(), refresh=False)
                progress.update(last - first)

    def finish(self) -> None:
        """Writes summary and picture, and prints what was learned and a sample."""
        options, say = self.options, self.plan.say
        summary = summarize(
            options, self.history, self.speed, self.chip, self.parameters, self.corpus.tokenizer.vocabulary, self.plan
        )
        sample = self._sample()
        if not self.plan.speaks:
            return
        write_summary(options.out / "summary.json", summary)
        if not options.is_timed_only:
            title = f"Llama {options.model} ({options.impl}, {options.dtype}) on {summary['chip'] or options.device}"
            plot_losses(options.out / "loss.png", self.history, title)
            first, last = summary["val_loss_first"], summary["val_loss_last"]
            say(f"loss on held-out text: {first:.3f} -> {last:.3f} nats in {summary['steps']} steps")
        if summary["chip_seconds_per_step"]:
            mfu = "" if summary["mfu"] is None else f", {summary['mfu']:.1%} of its peak"
            chips = summary["chip"] if self.plan.ranks == 1 else f"{self.plan.ranks} x {summary['chip']}"
            say(
                f"{chips}: {summary['chip_seconds_per_step'] * 1e3:.3g} ms and "
                f"{summary['joules_per_step']:.3g} J a step{mfu}"
            )
        if summary["fallbacks"]:
            say(f"operators that ran on the CPU instead of the device: {summary['fallbacks']}")
        if sample is not None:
            say(f"--- a sample ---\n{sample}\n---")
        say(f"results are in {options.out}")

    def _sample(self) -> str | None:
        """Text of the trained model, at which all ranks work; a pipeline's parts are for whole batches, so none."""
        options = self.options
        if not options.sample or options.is_timed_only or options.parallel == "pp":
            return None
        if isinstance(self.corpus.tokenizer, RandomTokenizer):
            return None
        model = getattr(self.model, "module", self.model)  # within DistributedDataParallel
        model.eval()
        with autocast(self.device, options.dtype):
            return sample_text(model, self.corpus.tokenizer, options, self.device)

    def _stretches(self, done: int) -> Iterator[tuple[int, int]]:
        """Ranges of steps without a wait inside: they end where something is due, and after the first step."""
        options = self.options
        start = done
        while done < options.steps:
            due = [(done // every + 1) * every for every in (options.eval_every, options.checkpoint_every)]
            last = min(done + (1 if done == start else LOSSES_KEPT_ON_DEVICE), options.steps, *due)
            yield done, last
            done = last

    def _train_stretch(self, first: int, last: int) -> None:
        before = self.chip.counters()
        start = time.perf_counter()
        with self.chip.kernel_totals() as totals:
            steps = [self._step(step) for step in range(first, last)]
            self.chip.synchronize()
        if self.options.is_timed_only:
            losses: list[float | None] = [None] * len(steps)
        else:
            losses = torch.stack(steps).float().cpu().tolist()
        self.speed.add(last - first, time.perf_counter() - start)
        after = self.chip.counters()
        if before is not None and after is not None:
            self.speed.chip.add(before, after)
        if totals is not None:
            self.speed.chip.add_kernels(totals.by_name())
        for step, loss in enumerate(losses, start=first):
            if loss is not None and not math.isfinite(loss):
                raise UserError(
                    f"the loss of step {step} is {loss} with --lr {self.options.learning_rate}; use a smaller --lr"
                )
        self.history.losses += losses

    def _step(self, step: int) -> Tensor:
        """One training step; its loss stays on the device."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate_at(step, self.options.steps, self.options.learning_rate)
        inputs, targets = (tensor.to(self.device) for tensor in self.corpus.training_batch(step))
        return train_on(self.model, self.optimizer, inputs, targets, self.options.dtype, self.plan)

    def _evaluate(self, step: int) -> None:
        """Adds the loss on HELD_OUT_BATCHES batches of held-out text after `step` steps."""
        self.model.eval()
        loss_in_dtype = functools.partial(loss_of, dtype=self.options.dtype)
        with torch.no_grad():
            losses = [
                self.plan.loss(
                    self.model, inputs.to(self.device), targets.to(self.device), loss_in_dtype, backward=False
                )
                for inputs, targets in self.corpus.held_out_batches(HELD_OUT_BATCHES)
            ]
        self.history.held_out.append((step, float(torch.stack(losses).mean())))
        self.model.train()

    def _status(self) -> str:
        tokens = self.options.batch * self.options.seq
        host, chip = self.speed.host_tokens_per_second(tokens), self.speed.chip_tokens_per_second(tokens)
        parts = []
        if not self.options.is_timed_only:
            parts = [f"loss {self.history.losses[-1]:.3f}", f"held out {self.history.held_out[-1][1]:.3f}"]
        if host is not None:
            parts.append(f"host {host:,.0f} tokens/s")
        if chip is not None:
            parts.append(f"chip {chip:,.0f} tokens/s")
        return ", ".join(parts)


def train(options: Options) -> None:
    """Trains as `options` say; the results are in options.out."""
    run = Run(options)
    shared = "" if run.plan.ranks == 1 else f" by {run.plan.ranks} ranks ({options.parallel})"
    run.plan.say(
        f"Llama {options.model} ({options.impl}): {run.parameters:,} parameters, {options.dtype}, on "
        f"{run.chip.name() or options.device}{shared}; {len(run.corpus.training):,} training tokens, "
        f"{len(run.corpus.held_out):,} held out"
    )
    if options.resume:
        run.resume()
    run.train()
    run.finish()
    run.plan.close()
