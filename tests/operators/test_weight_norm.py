"""Weight and spectral normalisation, in torch's old and new form, against float64 CPU torch."""

import copy
import random
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from tests.operators.comparison import assert_matches

BOUNDS = {torch.float64: 1e-13, torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 2e-2}
LAYERS = [
    (lambda: nn.Linear(7, 5), (3, 7)),
    (lambda: nn.Conv1d(3, 4, 3), (2, 3, 9)),
    (lambda: nn.Conv2d(3, 4, 3), (2, 3, 6, 6)),
]
WAYS = {
    "new": parametrizations.weight_norm,
    "old": nn.utils.weight_norm,
    "spectral": parametrizations.spectral_norm,
    "old spectral": nn.utils.spectral_norm,
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated")
@pytest.mark.parametrize(
    ("way", "dim"),
    [(way, dim) for way in WAYS for dim in ([0, 1] if "spectral" in way else [0, 1, -1, None])],
)
@pytest.mark.parametrize(("layer", "shape"), LAYERS)
def test_layers(way: str, layer: Callable[[], nn.Module], shape: tuple[int, ...], dim: int | None) -> None:
    torch.manual_seed(1)
    plain = layer()
    torch.manual_seed(2)
    reference = WAYS[way](copy.deepcopy(plain).double(), dim=dim)
    module = WAYS[way](plain.to("mtia_sim"), dim=dim)
    module.load_state_dict({name: value.float().to("mtia_sim") for name, value in reference.state_dict().items()})
    x = torch.randn(shape)
    expected, got = reference(x.double()), module(x.to("mtia_sim"))
    gradient = torch.randn(expected.shape)
    wanted = torch.autograd.grad(expected, list(reference.parameters()), gradient.double())
    found = torch.autograd.grad(got, list(module.parameters()), gradient.to("mtia_sim"))
    for one, other in zip([got, *found], [expected, *wanted], strict=True):
        assert_matches(one, other, 4e-6)


def check(v: Tensor, g: Tensor, dim: int, given: Tensor) -> None:
    wide = [each.cpu().double().requires_grad_() for each in (given, g)]
    near = [given.detach().requires_grad_(), g.to("mtia_sim").requires_grad_()]
    expected, got = torch._weight_norm(*wide, dim), torch._weight_norm(*near, dim)
    gradient = torch.randn(v.shape).to(v.dtype)
    wanted = torch.autograd.grad(expected, wide, gradient.double())
    found = torch.autograd.grad(got, near, gradient.to("mtia_sim"))
    for one, other in zip([got, *found], [expected, *wanted], strict=True):
        assert one.dtype == v.dtype and one.shape == other.shape
    assert_matches(got, expected, BOUNDS[v.dtype])
    assert_matches(found[1], wanted[1], BOUNDS[v.dtype])
    # The gradient of v is a difference, of which nothing is left where a slice is one element: it may be off by the
    # rounding of what is subtracted.
    others = [i for i in range(v.dim()) if i != dim]
    terms = gradient.double() * wide[1].detach() / wide[0].detach().square().sum(others, keepdim=True).sqrt()
    error = (found[0].cpu().double() - wanted[0]).norm() / terms.norm()
    assert error <= BOUNDS[v.dtype], f"relative error {error:.3g}"


def drawn(seed: int) -> None:
    chance = random.Random(seed)
    torch.manual_seed(seed)
    dtype = chance.choice(list(BOUNDS))
    shape = [chance.choice([1, 2, 5, 33, 260]) for _ in range(chance.choice([2, 2, 3, 4]))]
    if torch.Size(shape).numel() > 200_000:
        shape[-1] = 1
    dim = chance.choice([0, len(shape) - 1])
    v = torch.randn(shape).to(dtype)
    given = v.to("mtia_sim")
    if chance.random() < 0.4:  # the same numbers, laid out the other way round
        given = given.transpose(0, 1).contiguous().transpose(0, 1)
    check(v, torch.randn([size if i == dim else 1 for i, size in enumerate(shape)]).to(dtype), dim, given)


@pytest.mark.parametrize("seed", range(12))
def test_drawn(seed: int) -> None:
    drawn(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12, 200))
def test_many_drawn(seed: int) -> None:
    drawn(seed)


def test_slices_longer_than_a_tile() -> None:
    v = torch.randn(3, 20_001)
    check(v, torch.randn(3, 1), 0, v.to("mtia_sim"))
    v = torch.randn(5003, 4)
    check(v, torch.randn(1, 4), 1, v.to("mtia_sim"))


def test_a_slice_of_zeros_is_as_on_the_cpu() -> None:
    v, g = torch.randn(3, 4), torch.ones(3, 1)
    v[1] = 0
    expected = torch._weight_norm(v, g, 0)
    torch.testing.assert_close(
        torch._weight_norm(v.to("mtia_sim"), g.to("mtia_sim"), 0).cpu(), expected, equal_nan=True
    )


def test_compiled() -> None:
    module = parametrizations.weight_norm(nn.Linear(7, 5)).to("mtia_sim")
    x = torch.randn(3, 7, device="mtia_sim")
    torch.testing.assert_close(torch.compile(module)(x).cpu(), module(x).cpu())


@pytest.mark.parametrize("p", [None, 1, 2, 3.0, float("inf")])
def test_norm_along_dimensions(p: float | None) -> None:
    x = torch.randn(4, 5, 6)
    for dim, keepdim in (([0], False), ([0, 2], True), ([1], True)):
        expected = torch.ops.aten.norm.ScalarOpt_dim(x.double(), p, dim, keepdim)
        got = torch.ops.aten.norm.ScalarOpt_dim(x.to("mtia_sim"), p, dim, keepdim)
        assert got.shape == expected.shape
        assert_matches(got, expected, 1e-6)


def test_refused() -> None:
    v = torch.randn(2, 3, 4, device="mtia_sim")
    with pytest.raises(RuntimeError, match="first or last"):
        torch.ops.aten._weight_norm_interface(v, torch.ones(3, device="mtia_sim"), 1)
    with pytest.raises(RuntimeError, match="elements"):
        torch.ops.aten._weight_norm_interface(v, torch.ones(3, device="mtia_sim"), 0)
    with pytest.raises(RuntimeError, match="floating"):
        torch.ops.aten._weight_norm_interface(v.int(), torch.ones(2, device="mtia_sim"), 0)
