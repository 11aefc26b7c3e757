"""What happens in a training step: the model, its optimiser, the learning rate, loss and update."""

import functools
import math
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as functional
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .huggingface import build_transformers_llama
from .model import Llama
from .options import Options
from .parallel import Plan

LARGEST_GRADIENT_NORM = 1.0
WEIGHT_DECAY = 0.1
BETAS = (0.9, 0.95)
WARM_UP = 0.1  # of all steps, at most WARM_UP_STEPS
WARM_UP_STEPS = 100
LAST_LEARNING_RATE = 0.1  # of the peak


def build_model(options: Options, vocabulary: int, device: torch.device, plan: Plan) -> tuple[nn.Module, int]:
    """What this rank trains of a model with random weights, and the parameters of the whole model.

    It is made on the CPU, so that a seed gives the same weights for every device. Where nothing is computed there are
    no weights to agree on: it is made where it will be used, in the dtype in which it will be used, so that the host
    holds nothing of it; and nowhere first, where a rank keeps a part.
    """
    torch.manual_seed(options.seed)
    build = build_transformers_llama if options.impl == "hf" else Llama
    if options.is_timed_only:
        default = torch.get_default_dtype()
        torch.set_default_dtype(torch.bfloat16 if options.dtype == "bfloat16" else default)
        try:
            with torch.device("meta") if plan.keeps_part else device:
                model = build(options.size, vocabulary, options.seq)
        finally:
            torch.set_default_dtype(default)
    else:
        model = build(options.size, vocabulary, options.seq)
        model = (model.to(torch.bfloat16) if options.dtype == "bfloat16" else model).to(device)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    if options.recompute:
        recompute_layers(model)
    model = plan.prepare(model)
    return (model.to_empty(device=device) if options.is_timed_only and plan.keeps_part else model), parameters


def recompute_layers(model: nn.Module) -> None:
    """Runs each layer again in the backward pass instead of keeping what it computed."""
    for layer in model.model.layers:
        forward = layer.forward
        layer.forward = functools.partial(checkpoint, forward, use_reentrant=False)


def build_optimizer(model: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    """AdamW in its default form; only matrices decay."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
    vectors = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=BETAS)


def learning_rate_at(step: int, steps: int, peak: float) -> float:
    """Linear warm-up, then a cosine down to LAST_LEARNING_RATE of the peak; step counts from 0."""
    warm_up = min(WARM_UP_STEPS, max(1, round(WARM_UP * steps)))
    if step < warm_up:
        return peak * (step + 1) / warm_up
    progress = (step - warm_up) / max(1, steps - warm_up)
    return peak * (LAST_LEARNING_RATE + (1 - LAST_LEARNING_RATE) * 0.5 * (1 + math.cos(math.pi * progress)))


def autocast(device: torch.device, dtype: str) -> AbstractContextManager[object]:
    return torch.autocast(device.type, torch.bfloat16) if dtype == "amp" else nullcontext()


def loss_of(model: nn.Module, inputs: Tensor, targets: Tensor, dtype: str) -> Tensor:
    """Mean cross entropy in nats a token, float32, of inputs and targets [batch, sequence]."""
    with autocast(inputs.device, dtype):
        logits = model(inputs)
    logits = logits if isinstance(logits, Tensor) else logits.logits
    return functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


def train_on(
    model: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor, targets: Tensor, dtype: str, plan: Plan
) -> Tensor:
    """Updates the model with one batch; the loss before the update, which stays on the device."""
    loss = plan.loss(model, inputs, targets, functools.partial(loss_of, dtype=dtype), backward=True)
    plan.clip(model, LARGEST_GRADIENT_NORM)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss
