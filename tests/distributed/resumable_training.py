"""A small training that resumes from its last checkpoint, and what kills its ranks at random times.

torchrun --nproc-per-node=2 --max-restarts=9 -m tests.distributed.resumable_training FOLDER STEPS
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.fsdp import fully_shard

DEVICE = torch.device("mtia_sim")


def note(folder: Path, name: str, text: str) -> None:
    """Adds a line to a file, whole or not at all."""
    file = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, f"{text}\n".encode())
    os.close(file)


def complete_steps(folder: Path) -> list[int]:
    """Of the checkpoints that are complete: DCP writes .metadata last, under another name first."""
    return sorted(int(path.parent.name) for path in folder.glob("checkpoints/*/.metadata"))


class Training:
    """Model and optimizer, sharded over the ranks, as torch.distributed.checkpoint stores them."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16)).to(DEVICE)
        fully_shard(self.model)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), 1e-2)

    def state(self) -> dict[str, Any]:
        model, optimizer = get_state_dict(self.model, self.optimizer)
        return {"model": model, "optimizer": optimizer}

    def load(self, path: Path) -> None:
        state = self.state()
        dcp.load(state, checkpoint_id=path)
        set_state_dict(self.model, self.optimizer, model_state_dict=state["model"], optim_state_dict=state["optimizer"])

    def step(self, number: int) -> float:
        """The loss of all ranks, of data that the step's number decides."""
        generator = torch.Generator().manual_seed(number)
        x = torch.randn(8, 16, generator=generator).chunk(dist.get_world_size())[dist.get_rank()].to(DEVICE)
        loss = (self.model(x) - x.roll(1, -1)).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        total = loss.detach().clone()
        dist.all_reduce(total, op=dist.ReduceOp.AVG)
        return total.item()


def train(folder: Path, steps: int) -> None:
    """Steps to `steps`, or until there is a file `stop`; each leaves a checkpoint, every other one beside the next."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    dist.init_process_group()
    rank = dist.get_rank()
    note(folder, "processes", f"{rank} {os.getpid()}")
    saving = dist.new_group()  # async_save talks while the next step does
    training = Training()
    chosen = [max(complete_steps(folder), default=0)]
    dist.broadcast_object_list(chosen, 0)
    first: int = chosen[0]
    if first > 0:
        training.load(folder / "checkpoints" / str(first))
    if rank == 0:
        note(folder, "resumed", str(first))
    pending = None
    for number in range(first + 1, steps + 1):
        loss = training.step(number)
        path = folder / "checkpoints" / str(number)
        if pending is not None:
            pending.result()
            if rank == 0:
                note(folder, "complete", str(number - 1))
        if rank == 0:
            note(folder, "losses", f"{number} {loss.hex()}")
        if number % 2 == 0:
            pending = dcp.async_save(training.state(), checkpoint_id=path, process_group=saving)
        else:
            pending = None
            dcp.save(training.state(), checkpoint_id=path, process_group=saving)
            if rank == 0:
                note(folder, "complete", str(number))
        stops = [(folder / "stop").exists()]
        dist.broadcast_object_list(stops, 0)
        if stops[0]:
            break
    if pending is not None:
        pending.result()
    if rank == 0:
        note(folder, "finished", str(number))
    dist.destroy_process_group()


if __name__ == "__main__":
    train(Path(sys.argv[1]), int(sys.argv[2]))
