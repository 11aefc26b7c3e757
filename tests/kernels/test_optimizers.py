"""Fused Adam, AdamW and SGD steps and the gradient scaler's kernels against CPU torch's optimizers."""

import pytest
import torch

from tests.kernels import harness


def on_device(tensors):
    return [None if tensor is None else tensor.to(harness.DEVICE) for tensor in tensors]


@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("decoupled", [False, True])
def test_adam(decoupled, maximize, amsgrad):
    start = torch.randn(5000, dtype=torch.float64)
    wanted = torch.nn.Parameter(start.clone())
    settings = {"lr": 0.01, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.1}
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    optimizer = kind([wanted], amsgrad=amsgrad, maximize=maximize, **settings)
    state = [start.float(), None, torch.zeros(5000), torch.zeros(5000), torch.zeros(5000) if amsgrad else None]
    state = on_device(state)
    for step in range(1, 4):
        grad = torch.randn(5000) * (4 - step)
        wanted.grad = grad.double()
        optimizer.step()
        state[1] = grad.to(harness.DEVICE)
        tensors = [*state, *on_device([torch.tensor(float(step))]), None, None, None]
        scalars = [0.01, 1 - 0.9, 1 - 0.999, 0.1, 1e-8]
        harness.execute("fused_adam", tensors, [5000, decoupled, maximize], scalars)
    harness.assert_close(state[0], wanted.detach())
    of = optimizer.state[wanted]
    harness.assert_close(state[2], of["exp_avg"])
    harness.assert_close(state[3], of["exp_avg_sq"])
    if amsgrad:
        harness.assert_close(state[4], of["max_exp_avg_sq"])


@pytest.mark.parametrize("dtype", harness.FLOAT_DTYPES)
def test_adam_scaled(dtype):
    """grad_scale unscales, found_inf leaves all alone, the learning rate may be a tensor."""
    parameter, grad = torch.randn(70).to(dtype), torch.randn(70).to(dtype)
    expected = torch.nn.Parameter(parameter.double().clone())
    expected.grad = grad.double() / 8
    torch.optim.AdamW([expected], lr=0.1, weight_decay=0.0).step()
    for found in (0.0, 1.0):
        tensors = [parameter.clone(), grad.clone(), torch.zeros(70).to(dtype), torch.zeros(70).to(dtype), None]
        tensors += [torch.tensor(1.0), torch.tensor(8.0), torch.tensor(found), torch.tensor(0.1)]
        tensors = on_device(tensors)
        harness.execute("fused_adam", tensors, [70, 1, 0], [0.0, 0.1, 0.001, 0.0, 1e-8])
        if found:
            assert torch.equal(tensors[0].cpu(), parameter)
            assert torch.equal(tensors[1].cpu(), grad)
        else:
            harness.assert_close(tensors[0], expected.detach(), 5 * harness.BOUNDS[dtype])


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd(momentum, nesterov):
    if nesterov and not momentum:
        pytest.skip("torch has no Nesterov momentum without momentum")
    start = torch.randn(300, dtype=torch.float64)
    wanted = torch.nn.Parameter(start.clone())
    dampening = 0.0 if nesterov else 0.2
    optimizer = torch.optim.SGD([wanted], 0.1, momentum, dampening if momentum else 0, 0.05, nesterov)
    parameter, buffer = on_device([start.float(), torch.zeros(300) if momentum else None])
    for step in range(3):
        grad = torch.randn(300)
        wanted.grad = grad.double()
        optimizer.step()
        tensors = [parameter, *on_device([grad]), buffer, None, None, None]
        harness.execute("fused_sgd", tensors, [300, nesterov, False, step == 0], [0.1, 0.05, momentum, dampening])
    harness.assert_close(parameter, wanted.detach())


@pytest.mark.parametrize("bad", [None, float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", harness.FLOAT_DTYPES)
def test_unscale(dtype, bad):
    grad = torch.randn(20_000).to(dtype)
    if bad is not None:
        grad[12_345] = bad
    tensors = on_device([grad.clone(), torch.zeros(()), torch.tensor(0.25)])
    harness.execute("amp_unscale", tensors, [20_000])
    assert float(tensors[1].cpu()) == (0.0 if bad is None else 1.0)
    harness.assert_close(tensors[0], grad.double() * 0.25)


@pytest.mark.parametrize("found", [0.0, 1.0])
@pytest.mark.parametrize("tracker", [0, 1, 2])
@pytest.mark.parametrize("scale", [8.0, 3e38])
def test_update_scale(scale, tracker, found):
    expected = [torch.tensor(scale), torch.tensor(tracker, dtype=torch.int32)]
    torch._amp_update_scale_(*expected, torch.tensor(found), 2.0, 0.5, 3)
    tensors = [torch.tensor(scale), torch.tensor(tracker, dtype=torch.int32), torch.tensor(found)]
    tensors = on_device(tensors)
    harness.execute("amp_update_scale", tensors, [], [2.0, 0.5, 3])
    assert float(tensors[0].cpu()) == float(expected[0])
    assert int(tensors[1].cpu()) == int(expected[1])
