"""Fused Adam, AdamW and SGD steps and the gradient scaler's kernels against CPU torch's optimizers."""

import pytest
import torch

from tests.kernels import harness

CHUNK = 8192


def on_device(tensors):
    return [None if tensor is None else tensor.to(harness.DEVICE) for tensor in tensors]


def execute(name, tensors, singles, others, sizes, scalars, chip="mtia300"):
    """Runs a step on one parameter: `tensors` of it and its `singles` by a chunk table, `others` by arguments."""
    moving = [tensor for tensor in tensors if tensor is not None]
    rows = [
        [min(CHUNK, moving[0].numel() - first)]
        + [tensor.data_ptr() + first * tensor.element_size() for tensor in moving]
        + [single.data_ptr() for single in singles]
        for first in range(0, moving[0].numel(), CHUNK)
    ]
    table = torch.tensor(rows).to(harness.DEVICE)
    dtypes = [harness.DTYPE_NAMES[tensor.dtype] if tensor is not None else "none" for tensor in (table, *others)]
    dtypes += [harness.DTYPE_NAMES[tensor.dtype] if tensor is not None else "none" for tensor in (*tensors, *singles)]
    harness.execute(name, [table, *others], [len(rows), CHUNK, *sizes], scalars, chip, dtypes)


@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("decoupled", [False, True])
def test_adam(decoupled, maximize, amsgrad):
    start = torch.randn(9000, dtype=torch.float64)
    wanted = torch.nn.Parameter(start.clone())
    settings = {"lr": 0.01, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.1}
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    optimizer = kind([wanted], amsgrad=amsgrad, maximize=maximize, **settings)
    state = [start.float(), None, torch.zeros(9000), torch.zeros(9000), torch.zeros(9000) if amsgrad else None]
    state = on_device(state)
    for step in range(1, 4):
        grad = torch.randn(9000) * (4 - step)
        wanted.grad = grad.double()
        optimizer.step()
        state[1] = grad.to(harness.DEVICE)
        scalars = [0.01, 1 - 0.9, 1 - 0.999, 0.1, 1e-8]
        singles = on_device([torch.tensor(float(step))])
        chip = "mtia1" if step == 2 else "mtia300"  # a chunk in pieces, or whole
        execute("fused_adam", state, singles, [None, None, None], [decoupled, maximize], scalars, chip)
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
        tensors = on_device(tensors)
        singles = on_device([torch.tensor(1.0)])
        others = on_device([torch.tensor(8.0), torch.tensor(found), torch.tensor(0.1)])
        execute("fused_adam", tensors, singles, others, [1, 0], [0.0, 0.1, 0.001, 0.0, 1e-8])
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
        tensors = [parameter, *on_device([grad]), buffer]
        scalars = [0.1, 0.05, momentum, dampening]
        execute("fused_sgd", tensors, [], [None, None, None], [nesterov, False, step == 0], scalars)
    harness.assert_close(parameter, wanted.detach())


def test_adagrad():
    wanted = torch.nn.Parameter(torch.randn(300, dtype=torch.float64))
    optimizer = torch.optim.Adagrad([wanted], lr=0.1, lr_decay=0.01, weight_decay=0.05)
    parameter, total = on_device([wanted.detach().float(), torch.zeros(300)])
    for step in range(1, 4):
        grad = torch.randn(300)
        wanted.grad = grad.double()
        optimizer.step()
        singles = on_device([torch.tensor(float(step))])
        tensors = [parameter, *on_device([grad]), total]
        execute("fused_adagrad", tensors, singles, [None, None], [False], [0.1, 0.01, 0.05, 1e-10])
    harness.assert_close(parameter, wanted.detach())


@pytest.mark.parametrize("bad", [None, float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", harness.FLOAT_DTYPES)
def test_unscale(dtype, bad):
    grad = torch.randn(20_000).to(dtype)
    if bad is not None:
        grad[12_345] = bad
    tensors = on_device([grad.clone(), torch.zeros(()), torch.tensor(0.25)])
    execute("amp_unscale", tensors[:1], [], tensors[1:], [], [])
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
