"""torch.compile of functional collectives and of a Llama on several ranks: what the same gives eagerly."""

from typing import Any

import torch
import torch.distributed as dist
import torch.distributed._functional_collectives as functional
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from tests.distributed.parallel import sharded, tensor
from tests.distributed.parallel.harness import DEVICE, Losses, Result, adamw, build_llama, main, train, way

COMPILED_STEPS = 5


def graphs_of(call: Any, *arguments: Any) -> tuple[Any, int]:
    """What a compiled function gives, and of how many graphs."""
    counter: Any = CompileCounterWithBackend("inductor")
    return torch.compile(call, backend=counter)(*arguments), counter.frame_count


@way
def collectives() -> Result:
    """One graph, and the bits of eager."""
    group = dist.group.WORLD

    def mixed(x: Tensor) -> tuple[Tensor, ...]:
        doubled = x * 2
        total = functional.all_reduce(doubled, "sum", group)
        gathered = functional.all_gather_tensor(doubled + 1, 0, group)
        scattered = functional.reduce_scatter_tensor(gathered * 0.5, "sum", 0, group)
        exchanged = functional.all_to_all_single(gathered, None, None, group)
        return total + 1, gathered.relu(), scattered - 1, exchanged.cos()

    x = torch.randn(8, 16, generator=torch.Generator().manual_seed(dist.get_rank())).to(DEVICE)
    results, graphs = graphs_of(mixed, x)
    equal = [torch.equal(got, wanted) for got, wanted in zip(results, mixed(x), strict=True)]
    return [float(graphs), *(float(each) for each in equal)], [1.0] * 5


def both(build: Any, losses_of: Any) -> Result:
    """Losses of the compiled model and of the same without."""
    return losses_of(build(True)), losses_of(build(False))


def trained(model: nn.Module) -> Losses:
    return train(lambda step: sharded.own_loss(model, step), adamw(model.parameters()), COMPILED_STEPS)


@way
def data_parallel() -> Result:
    def build(is_compiled: bool) -> nn.Module:
        model = DistributedDataParallel(build_llama().to(DEVICE))
        return torch.compile(model) if is_compiled else model

    return both(build, trained)


@way
def fully_sharded() -> Result:
    """Layers are compiled one by one and sharded then, as torchtitan does it."""

    def build(is_compiled: bool) -> nn.Module:
        llama = build_llama().to(DEVICE)
        for layer in llama.model.layers:
            if is_compiled:
                layer.compile(fullgraph=True)
            fully_shard(layer)
        return fully_shard(llama)

    return both(build, trained)


@way
def tensor_parallel() -> Result:
    def build(is_compiled: bool) -> nn.Module:
        llama = tensor.tensor_parallel(build_llama().to(DEVICE), tensor.one_dimension())
        if is_compiled:
            for layer in llama.model.layers:
                layer.compile(fullgraph=True)
        return llama

    return both(build, lambda model: tensor.trained(model, foreach=False)[:COMPILED_STEPS])


if __name__ == "__main__":
    main()
