"""What ordinary training scripts do besides a plain step, on the device against CPU torch."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as functional
from torch import Tensor, nn


def network() -> nn.Module:
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(24, 64), nn.GELU(), nn.LayerNorm(64), nn.Linear(64, 10))


def batch(step: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(step)
    return torch.randn(32, 24, generator=generator), torch.randint(10, (32,), generator=generator)


def train(
    model: nn.Module, device: torch.device, make: Callable[..., torch.optim.Optimizer], steps: int = 6
) -> list[float]:
    model = model.to(device)
    optimizer = make(model.parameters())
    losses = []
    for step in range(steps):
        inputs, targets = (tensor.to(device) for tensor in batch(step))
        loss = functional.cross_entropy(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(
    "options", [{}, {"foreach": True}, {"foreach": False}, {"fused": True}], ids=["default", "foreach", "loop", "fused"]
)
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
def test_optimizers_in_all_their_forms(device: torch.device, optimizer: type, options: dict[str, bool]) -> None:
    more = {"momentum": 0.9} if optimizer is torch.optim.SGD else {}

    def make(parameters: object, **extra: bool) -> torch.optim.Optimizer:
        return optimizer(parameters, lr=0.01, weight_decay=0.01, **more, **extra)

    model = network()
    reference = train(copy.deepcopy(model), torch.device("cpu"), make)
    losses = train(model, device, lambda parameters: make(parameters, **options))
    assert losses == pytest.approx(reference, rel=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_with_gradient_scaler(device: torch.device, dtype: torch.dtype) -> None:
    model = network().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler(device.type, init_scale=2.0**8)
    losses = []
    for _ in range(20):
        inputs, targets = (tensor.to(device) for tensor in batch(0))
        with torch.autocast(device.type, dtype):
            logits = model(inputs)
            loss = functional.cross_entropy(logits.float(), targets)
        assert logits.dtype == dtype
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_scaler_skips_a_step_with_infinite_gradients(device: torch.device) -> None:
    weight = torch.ones(3, device=device, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=1.0)
    scaler = torch.amp.GradScaler(device.type, init_scale=4.0)
    weight.grad = torch.tensor([1.0, float("inf"), 0.0], device=device)
    scaler.scale(torch.ones((), device=device))
    scaler.step(optimizer)
    scaler.update()
    assert weight.tolist() == [1.0, 1.0, 1.0]
    assert scaler.get_scale() == 2.0


@pytest.mark.parametrize("reentrant", [False, True])
def test_activation_checkpointing_gives_the_same_gradients(device: torch.device, reentrant: bool) -> None:
    from torch.utils.checkpoint import checkpoint

    model = network().to(device)
    inputs = batch(0)[0].to(device).requires_grad_()
    direct = torch.autograd.grad(model(inputs).square().sum(), [inputs, *model.parameters()])
    model(inputs)
    checkpoint(model, inputs, use_reentrant=reentrant).square().sum().backward()
    for got, wanted in zip((inputs.grad, *(each.grad for each in model.parameters())), direct, strict=True):
        assert torch.equal(got.cpu(), wanted.cpu())


def test_checkpointed_dropout_draws_the_same_mask_again(device: torch.device) -> None:
    from torch.utils.checkpoint import checkpoint

    x = torch.ones(1000, device=device, requires_grad=True)
    out = checkpoint(lambda y: functional.dropout(y, 0.5) * 1.0, x, use_reentrant=False)
    out.sum().backward()
    assert torch.equal(x.grad.cpu(), out.detach().cpu())


def test_data_loader_with_pinned_memory(device: torch.device) -> None:
    inputs = torch.randn(50, 3)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(inputs), batch_size=16, pin_memory=True)
    received = []
    for (part,) in loader:
        assert part.is_pinned()
        received.append(part.to(device, non_blocking=True))
    assert torch.equal(torch.cat(received).cpu(), inputs)


def test_save_on_the_device_and_load_anywhere(device: torch.device, tmp_path: Path) -> None:
    model = network().to(device)
    path = tmp_path / "model.pt"
    torch.save(model.state_dict(), path)
    for place in ("cpu", device, f"{device.type}:1"):
        loaded = torch.load(path, map_location=place, weights_only=True)
        for name, tensor in model.state_dict().items():
            assert loaded[name].device.type == torch.device(place).type
            assert torch.equal(loaded[name].cpu(), tensor.cpu())
    assert torch.load(path, weights_only=True)["0.weight"].device.type == device.type


def test_recompute_after_an_error_still_trains(device: torch.device) -> None:
    weight = torch.randn(4, 4, device=device)
    with pytest.raises(RuntimeError):
        weight @ torch.randn(4, 4)
    with pytest.raises(RuntimeError):
        weight @ torch.randn(5, 4, device=device)
    assert train(network(), device, lambda parameters: torch.optim.SGD(parameters, lr=0.1))[-1] > 0
