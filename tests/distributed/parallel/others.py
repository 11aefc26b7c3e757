"""What stands beside the means of parallel training: experts on other ranks, functional collectives, batch norms over
all ranks, checkpoints that are saved beside the training."""

import copy
import tempfile
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed._functional_collectives as functional
import torch.distributed.checkpoint as checkpoint
import torch.distributed.nn.functional as differentiable
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict_saver import AsyncCheckpointerType
from torch.distributed.fsdp import fully_shard

from tests.distributed.parallel.harness import (
    DEVICE,
    STEPS,
    Result,
    adamw,
    main,
    way,
)

EXPERTS, WIDTH, TOKENS = 4, 16, 24
CPU = torch.device("cpu")


class Experts(nn.Module):
    """A router and some of EXPERTS linear layers, each token through the one that the router likes most."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.router = nn.Linear(WIDTH, EXPERTS, bias=False)
        self.experts = nn.ParameterList(torch.randn(WIDTH, WIDTH) / WIDTH**0.5 for _ in range(EXPERTS))

    def forward(self, x: Tensor) -> Tensor:
        """All experts in one process."""
        weight, choice = self.router(x).softmax(-1).max(-1)
        mixed = torch.zeros_like(x)
        for index, expert in enumerate(self.experts):
            mixed = torch.where((choice == index)[:, None], x @ expert, mixed)
        return mixed * weight[:, None]

    def on_ranks(self, x: Tensor) -> Tensor:
        """This rank's tokens go to the ranks of their experts and come back."""
        size, rank = dist.get_world_size(), dist.get_rank()
        own = EXPERTS // size
        weight, choice = self.router(x).softmax(-1).max(-1)
        order = choice.argsort(stable=True)
        counts = choice.bincount(minlength=EXPERTS)
        arriving = functional.all_to_all_single(counts, None, None, dist.group.WORLD).view(size, own)
        sent = counts.view(size, own).sum(1).tolist()
        received = arriving.sum(1).tolist()
        tokens = functional.all_to_all_single_autograd(x[order], received, sent, dist.group.WORLD)
        expert_of = torch.arange(own, device=x.device).repeat(size).repeat_interleave(arriving.flatten())
        mixed = torch.zeros_like(tokens)
        for index in range(own):
            mixed = torch.where((expert_of == index)[:, None], tokens @ self.experts[rank * own + index], mixed)
        back = functional.all_to_all_single_autograd(mixed, sent, received, dist.group.WORLD)
        return torch.zeros_like(x).index_copy(0, order, back) * weight[:, None]


@way
def experts() -> Result:
    size, rank = dist.get_world_size(), dist.get_rank()
    whole, dealt = Experts(), Experts().to(DEVICE)
    optimizers = [adamw(each.parameters()) for each in (whole, dealt)]
    expected, losses = [], []
    for step in range(STEPS):
        x, target = torch.randn(2, TOKENS, WIDTH, generator=torch.Generator().manual_seed(step))
        loss = (whole(x) - target).square().mean()
        loss.backward()
        expected.append(loss.item())
        part, part_target = (each.chunk(size)[rank].to(DEVICE) for each in (x, target))
        part_loss = (dealt.on_ranks(part) - part_target).square().mean() / size
        part_loss.backward()
        dist.all_reduce(dealt.router.weight.grad)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        total = part_loss.detach().clone()
        dist.all_reduce(total)
        losses.append(total.item())
    return losses, expected


def collectives(device: torch.device) -> list[float]:
    rank, group = dist.get_rank(), dist.group.WORLD
    x = torch.arange(8.0, device=device).add(rank + 1)
    results = [
        functional.all_reduce(x, "sum", group),
        functional.all_reduce(x, "max", group),
        functional.all_gather_tensor(x, 0, group),
        functional.reduce_scatter_tensor(x, "sum", 0, group),
        functional.all_to_all_single(x, None, None, group),
        functional.broadcast(x, 0, group),
        *functional.all_reduce_coalesced([x, x * 2], "sum", group),
        *functional.all_gather_into_tensor_coalesced([x, x * 2], group),
    ]
    given = x.clone().requires_grad_()
    gathered = torch.cat(list(differentiable.all_gather(given)))
    (differentiable.all_reduce(given * given).sum() + (gathered * torch.arange(16.0, device=device)).sum()).backward()
    results.append(given.grad)
    weights = torch.arange(1.0, 17.0).repeat(2)
    sums = [(each * weights[: each.numel()].to(device)).sum().reshape(1) for each in results]
    return torch.cat(list(differentiable.all_gather(torch.cat(sums)))).tolist()


@way
def functional_collectives() -> Result:
    """Those of tensors on the device, with their gradients, as Gloo's on the CPU."""
    return collectives(DEVICE), collectives(CPU)


@way
def synchronised_batch_norms() -> Result:
    """SyncBatchNorm of uneven parts of a batch, as one CPU's norm of all of it: results, gradients, running sums."""
    size, rank = dist.get_world_size(), dist.get_rank()
    errors = []
    for norm, shape in (
        (nn.BatchNorm1d(6), (6,)),
        (nn.BatchNorm2d(6), (6, 5, 3)),
        (nn.BatchNorm1d(6, affine=False), (6, 7)),
    ):
        rows = [3 + 2 * each for each in range(size)]
        torch.manual_seed(4)
        x, weight = torch.randn(2, sum(rows), *shape)
        x = 3 + x * torch.arange(1.0, 7.0).view(6, *[1] * (len(shape) - 1))
        own = copy.deepcopy(norm)
        synchronised: Any = nn.SyncBatchNorm.convert_sync_batchnorm(own).to(DEVICE)
        for step in range(3):
            norm.train(step < 2), synchronised.train(step < 2)
            whole = x.clone().requires_grad_()
            part = x.split(rows)[rank].to(DEVICE).requires_grad_()
            expected = norm(whole)
            (expected * weight).sum().backward()
            got = synchronised(part)
            (got * weight.split(rows)[rank].to(DEVICE)).sum().backward()
            for parameter in synchronised.parameters():
                dist.all_reduce(parameter.grad)
            pairs = [(got, expected.split(rows)[rank]), (part.grad, whole.grad.split(rows)[rank])]
            pairs += [
                (one.grad, other.grad) for one, other in zip(synchronised.parameters(), norm.parameters(), strict=True)
            ]
            pairs += list(zip(synchronised.buffers(), norm.buffers(), strict=True))
            errors += [
                ((one.detach().cpu() - other).float().norm() / other.float().norm()).item() for one, other in pairs
            ]
            synchronised.zero_grad(), norm.zero_grad()
    worst = torch.tensor(max(errors))
    dist.all_reduce(worst, op=dist.ReduceOp.MAX)
    return [worst.item()], [0.0]


def saved(kind: AsyncCheckpointerType) -> Result:
    """What is saved is what was there at the call, though training goes on, and another sharding loads it."""
    folder = [tempfile.mkdtemp() if dist.get_rank() == 0 else None]
    dist.broadcast_object_list(folder)
    torch.manual_seed(6)
    model: Any = fully_shard(nn.Sequential(nn.Linear(24, 40), nn.Linear(40, 8)).to(DEVICE))
    optimizer = adamw(model.parameters())
    model(torch.ones(2, 24, device=DEVICE)).square().sum().backward()
    optimizer.step()
    expected = [parameter.full_tensor().cpu() for parameter in model.parameters()]
    saving: Any = checkpoint.async_save(
        {"model": model.state_dict(), "optimizer": optimizer.state_dict()},
        checkpoint_id=Path(str(folder[0])) / "step",
        async_checkpointer_type=kind,
    )
    for parameter in model.parameters():
        parameter.detach().to_local().fill_(77)
    saving.result()
    whole = nn.Sequential(nn.Linear(24, 40), nn.Linear(40, 8)).to(DEVICE)
    checkpoint.load({"model": (state := whole.state_dict())}, checkpoint_id=Path(str(folder[0])) / "step")
    equal = [torch.equal(got.cpu(), wanted) for got, wanted in zip(state.values(), expected, strict=True)]
    return [float(each) for each in equal], [1.0] * 4


@way
def saves_beside_training() -> Result:
    return saved(AsyncCheckpointerType.THREAD)


@way
def saves_in_another_process() -> Result:
    return saved(AsyncCheckpointerType.PROCESS)


if __name__ == "__main__":
    main()
