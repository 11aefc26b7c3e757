"""Checkpoints of a run: everything that decides the losses to come, written atomically."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from .chip import Chip
from .errors import UserError
from .files import remove_leftovers, write_atomically
from .options import Options
from .parallel import Plan
from .results import History

FORMAT = 2


def checkpoint_file(options: Options) -> Path:
    return options.out / "checkpoint.pt"


def save_checkpoint(
    options: Options, model: nn.Module, optimizer: torch.optim.Optimizer, history: History, chip: Chip, plan: Plan
) -> None:
    """Writes OUT/checkpoint.pt for the steps in `history`; a process killed meanwhile leaves the one before.

    It holds whole parameters by their names, so that another plan on other ranks can go on from it.
    """
    weights, moments = plan.whole_states(model, optimizer)
    if not plan.speaks:
        return
    state = {
        "format": FORMAT,
        "options": options.identity(),
        "model": weights,
        "optimizer": moments,
        "history": history.state(),
        "random_state": torch.get_rng_state(),
        "device_random_state": chip.random_state(),
    }
    write_atomically(checkpoint_file(options), lambda path: torch.save(state, path))


def load_checkpoint(
    options: Options, model: nn.Module, optimizer: torch.optim.Optimizer, chip: Chip, plan: Plan
) -> History | None:
    """Restores model, optimizer and generators from OUT/checkpoint.pt; None where there is none."""
    path = checkpoint_file(options)
    if plan.speaks:
        remove_leftovers(path)
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).split(". ")[0].splitlines()[0]
        raise UserError(f"{path} cannot be read ({reason}); delete it to start again") from error
    if state.get("format") != FORMAT:
        raise UserError(
            f"{path} has format {state.get('format')}, this script reads {FORMAT}; delete it to start again"
        )
    wanted = options.identity()
    different = [
        f"--{name} {saved!r} there, {wanted[name]!r} now"
        for name, saved in state["options"].items()
        if wanted[name] != saved
    ]
    if different:
        raise UserError(
            f"{path} is of another run: {'; '.join(different)}. Resume with the same options or take another --out"
        )
    plan.load_whole_states(model, optimizer, (state["model"], state["optimizer"]))
    torch.set_rng_state(state["random_state"])
    if state["device_random_state"] is not None:
        chip.set_random_state(state["device_random_state"])
    return History.from_state(state["history"])
