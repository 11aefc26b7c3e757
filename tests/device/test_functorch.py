"""torch.func, forward-mode derivatives, gradcheck and agreement with fake tensors."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_utils import CrossRefFakeMode
from torch.autograd import forward_ad
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, linearize, stack_module_state, vjp, vmap
from torch.nn import functional

DEVICE = "mtia_sim"


def wave(x: Tensor) -> Tensor:
    return (x.sin() * x).sum()


@pytest.mark.parametrize(
    "transform",
    [
        lambda x: grad(wave)(x),
        lambda x: grad(lambda y: grad(wave)(y).sum())(x),
        lambda x: jvp(wave, (x,), (x,))[1],
        lambda x: vjp(wave, x)[1](x.new_ones(()))[0],
        lambda x: jacrev(torch.tanh)(x),
        lambda x: jacfwd(torch.tanh)(x),
        lambda x: hessian(wave)(x),
        lambda x: linearize(wave, x)[1](x),
        lambda x: vmap(grad(wave))(x.expand(3, -1)),
        lambda x: torch.autograd.functional.jacobian(torch.sin, x, vectorize=True),
    ],
)
def test_transforms(transform: Callable[[Tensor], Tensor]) -> None:
    x = torch.randn(4)
    torch.testing.assert_close(transform(x.to(DEVICE)).cpu(), transform(x))


def test_gradients_of_each_sample() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 3))
    x, y = torch.randn(5, 4), torch.randint(3, (5,))

    def loss(parameters: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return functional.cross_entropy(functional_call(model, parameters, (x[None],)), y[None])

    results = []
    for device in ("cpu", DEVICE):
        model.to(device)
        parameters = {name: each.detach() for name, each in model.named_parameters()}
        gradients = vmap(grad(loss), (None, 0, 0))(parameters, x.to(device), y.to(device))
        results.append({name: each.cpu() for name, each in gradients.items()})
    torch.testing.assert_close(results[1], results[0], atol=1e-5, rtol=1e-4)


def test_an_ensemble() -> None:
    models = [nn.Linear(4, 2).to(DEVICE) for _ in range(3)]
    parameters, _ = stack_module_state(models)
    x = torch.randn(2, 4, device=DEVICE)
    together = vmap(lambda each, x: functional_call(models[0], each, (x,)), (0, None))(parameters, x)
    torch.testing.assert_close(together, torch.stack([model(x) for model in models]))


def test_forward_mode() -> None:
    x, tangent = torch.randn(3, 4), torch.randn(3, 4)
    tangents = []
    for device in ("cpu", DEVICE):
        with forward_ad.dual_level():
            dual = forward_ad.make_dual(x.to(device), tangent.to(device))
            out = functional.softmax(functional.layer_norm(functional.gelu(dual), (4,)), -1)
            tangents.append(forward_ad.unpack_dual(out).tangent.cpu())
    torch.testing.assert_close(tangents[1], tangents[0])


def test_zeros_without_memory() -> None:
    zeros = torch._efficientzerotensor((2, 3), device=DEVICE)
    assert zeros._is_zerotensor() and zeros.device == torch.device(DEVICE, 0)
    x = torch.ones(2, 3, device=DEVICE)
    assert torch.equal(x + zeros, x) and (x * zeros)._is_zerotensor()


def test_gradcheck() -> None:
    def function(x: Tensor, weight: Tensor) -> Tensor:
        return (x @ weight).tanh()

    inputs = [torch.randn(shape, dtype=torch.float64, device=DEVICE, requires_grad=True) for shape in ((2, 3), (3, 2))]
    torch.autograd.gradcheck(function, inputs, check_forward_ad=True, check_batched_grad=True)
    torch.autograd.gradgradcheck(function, inputs)


def test_fake_tensors_agree() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 8), nn.LayerNorm(8), nn.GELU()).to(DEVICE)
    x, heads = torch.randn(2, 3, 8, 8, device=DEVICE), torch.randn(1, 2, 8, 16, device=DEVICE)
    with CrossRefFakeMode():
        y = model(x).softmax(-1)
        torch.cat([y.t().contiguous(), y.view(8, 2)]).sum(0)
        functional.scaled_dot_product_attention(heads, heads, heads, is_causal=True)
        functional.scaled_dot_product_attention(heads, heads[:, :1], heads[:, :1], enable_gqa=True)
