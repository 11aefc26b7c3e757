"""Training by torch's own means of parallelism agrees with one CPU, and gives the same bits again."""

from pathlib import Path

import pytest

from tests.distributed.ranks import run

TRAINING = """
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(32), nn.Linear(32, 128), nn.Linear(128, 32)

    def forward(self, x):
        return x + self.down(nn.functional.gelu(self.up(self.norm(x))))

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.out = nn.Embedding(50, 32), nn.Linear(32, 50)
        self.blocks = nn.ModuleList(Block() for _ in range(2))

    def forward(self, tokens):
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x)
        return self.out(x)

torch.manual_seed(0)
whole = Model()
model = Model()
model.load_state_dict(whole.state_dict())
model.to(DEVICE)
way, replicas, replica = os.environ["WAY"], SIZE, RANK
if way == "ddp":
    model = nn.parallel.DistributedDataParallel(model, bucket_cap_mb=0.02)
elif way == "fsdp":
    for block in model.blocks:
        fully_shard(block)
    fully_shard(model)
else:
    mesh = init_device_mesh("mtia_sim", (SIZE // 2, 2), mesh_dim_names=("data", "tensor"))
    replicas, replica = SIZE // 2, RANK // 2
    for block in model.blocks:
        parallelize_module(block, mesh["tensor"], {"up": ColwiseParallel(), "down": RowwiseParallel()})
        fully_shard(block, mesh=mesh["data"])
    fully_shard(model, mesh=mesh["data"])
optimizers = [torch.optim.AdamW(each.parameters(), 1e-2) for each in (whole, model)]

def loss_of(each, tokens):
    return nn.functional.cross_entropy(each(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())

for step in range(20):
    tokens = torch.randint(0, 50, (4, 9))
    losses = []
    for each, given, optimizer in zip((whole, model), (tokens, tokens.chunk(replicas)[replica].to(DEVICE)), optimizers):
        loss = loss_of(each, given)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    mean = losses[1].clone()
    dist.all_reduce(mean, op=dist.ReduceOp.AVG)
    assert abs(mean.item() - losses[0].item()) < 1e-4, (step, mean.item(), losses[0].item())
    print(mean.item().hex())
assert torch.mtia_sim.fallbacks() == {}
dist.destroy_process_group()
"""


@pytest.mark.parametrize(
    ("way", "size"), [("ddp", 2), ("fsdp", 2), pytest.param("fsdp and tensor", 4, marks=pytest.mark.slow)]
)
def test_losses_of_twenty_steps(way: str, size: int, tmp_path: Path) -> None:
    def losses() -> list[list[str]]:
        return [
            [line for line in text.splitlines() if line.startswith("0x")]
            for text in run(TRAINING, size, tmp_path, WAY=way)
        ]

    first = losses()
    assert len(first[0]) == 20 and all(each == first[0] for each in first)
    if way == "fsdp":
        assert losses() == first
