"""Tensor parallel plans, sequence parallel, loss parallel, context parallel attention, meshes of two dimensions."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.experimental import context_parallel
from torch.distributed.tensor.experimental._attention import set_rotate_method
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    PrepareModuleInput,
    RowwiseParallel,
    SequenceParallel,
    loss_parallel,
    parallelize_module,
)

from examples.llama.model import Llama
from tests.distributed.parallel.harness import (
    DEVICE,
    STEPS,
    Losses,
    Result,
    adamw,
    batch,
    build_llama,
    cross_entropy,
    main,
    mean_over_ranks,
    reference_losses,
    train,
    way,
)

LONG = 64  # tokens of context parallel sequences


def attention_plan() -> dict[str, Any]:
    columns = {f"self_attn.{name}_proj": ColwiseParallel() for name in "qkv"}
    return {
        **columns,
        "self_attn.o_proj": RowwiseParallel(),
        "mlp.gate_proj": ColwiseParallel(),
        "mlp.up_proj": ColwiseParallel(),
        "mlp.down_proj": RowwiseParallel(),
    }


def tensor_parallel(llama: Llama, mesh: DeviceMesh) -> Llama:
    """Heads and columns of each layer are dealt to the ranks; the rest is whole on each."""
    for layer in llama.model.layers:
        parallelize_module(layer, mesh, attention_plan())
    return llama


def sequence_parallel(llama: Llama, mesh: DeviceMesh, whole_logits: bool = True) -> Llama:
    """Between the products, activations are dealt along the sequence, as torchtitan's plan for Llama does."""
    embedding = RowwiseParallel(input_layouts=Replicate(), output_layouts=Shard(1))
    head = ColwiseParallel(
        input_layouts=Shard(1),
        output_layouts=Replicate() if whole_logits else Shard(-1),
        use_local_output=whole_logits,
    )
    plan = {"model.embed_tokens": embedding, "model.norm": SequenceParallel(), "lm_head": head}
    parallelize_module(llama, mesh, plan)
    for layer in llama.model.layers:
        of_layer = {
            **attention_plan(),
            "input_layernorm": SequenceParallel(),
            "self_attn": PrepareModuleInput(
                input_layouts=(Shard(1), None, None), desired_input_layouts=(Replicate(), None, None)
            ),
            "self_attn.o_proj": RowwiseParallel(output_layouts=Shard(1)),
            "post_attention_layernorm": SequenceParallel(),
            "mlp": PrepareModuleInput(input_layouts=(Shard(1),), desired_input_layouts=(Replicate(),)),
            "mlp.down_proj": RowwiseParallel(output_layouts=Shard(1)),
        }
        parallelize_module(layer, mesh, of_layer)
    return llama


def trained(model: nn.Module, mesh: DeviceMesh | None = None, **options: Any) -> Losses:
    """With `mesh`, each of its ranks has a part of the batch; else all of it."""
    parts, part = (1, 0) if mesh is None else (mesh.size(), mesh.get_local_rank())

    def loss_of(step: int) -> Tensor:
        inputs, targets = (each.chunk(parts)[part].to(DEVICE) for each in batch(step))
        return cross_entropy(model(inputs), targets)

    return train(loss_of, adamw(model.parameters(), **options))


def one_dimension() -> DeviceMesh:
    return init_device_mesh("mtia_sim", (dist.get_world_size(),), mesh_dim_names=("tensor",))


def two_dimensions() -> DeviceMesh:
    return init_device_mesh("mtia_sim", (dist.get_world_size() // 2, 2), mesh_dim_names=("data", "tensor"))


@way
def tensor() -> Losses:
    """Parameters of two kinds, so without foreach: torch.stack of plain and distributed ones is none."""
    return trained(tensor_parallel(build_llama().to(DEVICE), one_dimension()), foreach=False)


@way
def sequence() -> Losses:
    return trained(sequence_parallel(build_llama().to(DEVICE), one_dimension()))


@way
def loss() -> Losses:
    """The vocabulary stays dealt to the ranks in the cross entropy too."""
    model = sequence_parallel(build_llama().to(DEVICE), one_dimension(), whole_logits=False)
    optimizer = adamw(model.parameters())
    losses = []
    for step in range(STEPS):
        inputs, targets = (each.to(DEVICE) for each in batch(step))
        with loss_parallel():
            mean = cross_entropy(model(inputs), targets)
            mean.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(mean.full_tensor().item())
    return losses


@way
def fully_sharded_and_tensor() -> Losses:
    mesh = two_dimensions()
    model = sequence_parallel(build_llama().to(DEVICE), mesh["tensor"])
    for layer in model.model.layers:
        fully_shard(layer, mesh=mesh["data"])
    fully_shard(model, mesh=mesh["data"])
    return trained(model, mesh["data"])


@way
def hybrid_sharded() -> Losses:
    """HSDP: sharded among two, replicated between the pairs."""
    mesh = init_device_mesh("mtia_sim", (dist.get_world_size() // 2, 2), mesh_dim_names=("replicas", "shards"))
    model = build_llama().to(DEVICE)
    for layer in model.model.layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    parts, part = dist.get_world_size(), dist.get_rank()

    def loss_of(step: int) -> Tensor:
        inputs, targets = (each.chunk(parts)[part].to(DEVICE) for each in batch(step))
        return cross_entropy(model(inputs), targets)

    return train(loss_of, adamw(model.parameters()))


def context_trained(rotate: str, steps: int = STEPS) -> Result:
    """The sequence is dealt to the ranks; keys and values go around them (rotate) or are gathered."""
    mesh = init_device_mesh("mtia_sim", (dist.get_world_size(),), mesh_dim_names=("context",))
    set_rotate_method(rotate)
    model = build_llama(sequence=LONG).to(DEVICE)
    optimizer = adamw(model.parameters())
    cosine, sine = model.model.cosine, model.model.sine
    losses = []
    for step in range(steps):
        inputs, targets = (each.to(DEVICE) for each in batch(step, 2, LONG))
        with context_parallel(mesh, buffers=[inputs, targets, cosine, sine], buffer_seq_dims=[1, 1, 0, 0]):
            mean = cross_entropy(model(inputs), targets)
            mean.backward()
        for parameter in model.parameters():
            dist.all_reduce(parameter.grad, op=dist.ReduceOp.AVG)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(mean_over_ranks(mean))
    return losses, reference_losses(steps, 2, LONG)


@way
def context_by_all_to_all() -> Result:
    return context_trained("alltoall")


@way
def context_by_all_gather() -> Result:
    return context_trained("allgather")


@way
def attention_of_distributed_tensors() -> Result:
    """Relative errors of attention on DTensors dealt by heads, by batch, and by neither, and of its gradients."""
    mesh = one_dimension()
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, heads, 16, 8) for heads in (4, 2, 2))

    def sums(inputs: list[Tensor]) -> list[Tensor]:
        inputs = [each.detach().requires_grad_() for each in inputs]
        out = nn.functional.scaled_dot_product_attention(*inputs, is_causal=True, enable_gqa=True)
        out.square().sum().backward()
        return [out.detach(), *(each.grad for each in inputs)]

    expected = sums([query, key, value])
    errors = []
    for placement in (Shard(1), Shard(0), Replicate(), Shard(2)):
        dealt = [
            torch.distributed.tensor.distribute_tensor(each.to(DEVICE), mesh, [placement])
            for each in (query, key, value)
        ]
        results = sums(dealt)
        if placement != Shard(2):
            assert all(isinstance(each, DTensor) and each.placements == (placement,) for each in results)
        for got, wanted in zip(results, expected, strict=True):
            errors.append(((got.full_tensor().cpu() - wanted).norm() / wanted.norm()).item())
    return errors, [0.0] * len(errors)


@way
def random_distributed_tensors() -> Result:
    """Ranks draw parts of their own, replicas what one device draws, and all go on from one state."""
    mesh, size = one_dimension(), dist.get_world_size()

    def of_each_rank(tensor: Tensor) -> list[Tensor]:
        parts = [torch.empty_like(tensor) for _ in range(size)]
        dist.all_gather(parts, tensor.contiguous())
        return parts

    def drawn(call: Any, seed: int = 11) -> Tensor:
        torch.manual_seed(seed)
        result: Tensor = call()
        return result

    def all_differ(tensor: Tensor) -> bool:
        parts = of_each_rank(tensor.to_local())
        return not any(torch.equal(parts[0], part) for part in parts[1:])

    def drawn_by(name: str, placement: Any) -> Any:
        call = getattr(torch.distributed.tensor, name)
        return drawn(lambda: call(8, 6, device_mesh=mesh, placements=[placement]))

    for name in ("rand", "randn"):
        assert all_differ(drawn_by(name, Shard(0)))
        assert torch.equal(drawn_by(name, Shard(0)).to_local(), drawn_by(name, Shard(0)).to_local())
        assert torch.equal(
            drawn_by(name, Replicate()).to_local(),
            drawn(lambda: getattr(torch, name)(8, 6, device=DEVICE)),  # noqa: B023
        )
    ones = torch.ones(4 * size, 512, device=DEVICE)

    def dealt() -> Any:
        return distribute_tensor(ones, mesh, [Shard(0)])

    assert all_differ(drawn(lambda: nn.functional.dropout(dealt(), 0.5)))
    for fill in (nn.init.normal_, nn.init.uniform_, lambda tensor: tensor.bernoulli_(0.5)):
        assert all_differ(drawn(lambda: fill(dealt())))  # noqa: B023

    # Attention with dropout: dealt by batch it is one device's, by heads each rank drops elements of its own.
    torch.manual_seed(2)
    query, key, value = (torch.randn(2 * size, 2 * size, 16, 8).to(DEVICE) for _ in range(3))

    def attention(placement: Any) -> list[Tensor]:
        inputs = [query, key, value]
        if placement is not None:
            inputs = [distribute_tensor(each, mesh, [placement]) for each in inputs]
        inputs = [each.detach().requires_grad_() for each in inputs]
        out = drawn(lambda: nn.functional.scaled_dot_product_attention(*inputs, dropout_p=0.5))
        out.square().sum().backward()
        return [out.detach(), *(each.grad for each in inputs)]

    expected = attention(None)
    errors = []
    for placement in (Shard(0), Replicate()):
        for got, wanted in zip(attention(placement), expected, strict=True):
            errors.append(((got.full_tensor() - wanted).norm() / wanted.norm()).item())
    alike = [each[:, :1].expand(-1, 2 * size, -1, -1) for each in (query, key, value)]
    heads = [distribute_tensor(each.contiguous(), mesh, [Shard(1)]) for each in alike]
    assert all_differ(drawn(lambda: nn.functional.scaled_dot_product_attention(*heads, dropout_p=0.5)))
    states = of_each_rank(torch.mtia_sim.get_rng_state().to(DEVICE))
    assert all(torch.equal(states[0], state) for state in states)
    return errors, [0.0] * len(errors)


if __name__ == "__main__":
    main()
