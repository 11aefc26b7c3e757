"""torch._lazy_clone: tensors share memory until one of them is written, by whichever road."""

from collections.abc import Callable

import pytest
import torch
import triton
import triton.language as tl
from torch import Tensor

DEVICE = "mtia_sim"
VALUES = torch.arange(12.0).view(3, 4).sub(5)


def shared(tensor: Tensor) -> bool:
    return bool(torch._C._is_cow_tensor(tensor))


@triton.jit
def increase(x, count, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    mask = offsets < count
    tl.store(x + offsets, tl.load(x + offsets, mask=mask) + 1, mask)


def optimise(kind: type[torch.optim.Optimizer], **options: object) -> Callable[[Tensor], None]:
    def step(tensor: Tensor) -> None:
        parameter = torch.nn.Parameter(tensor)
        parameter.grad = torch.ones_like(tensor)
        kind([parameter], lr=0.5, **options).step()

    return step


# What writes a 3 x 4 tensor of float32, in place or as an output.
WRITERS: dict[str, Callable[[Tensor], object]] = {
    "add_": lambda x: x.add_(1),
    "add_ of a column": lambda x: x.add_(torch.ones(3, 1, device=x.device)),
    "add_ of itself": lambda x: x.add_(x),
    "a view": lambda x: x[1].mul_(3),
    "a strided view": lambda x: x[:, ::2].copy_(x[:, 1::2]),
    "a transposed view": lambda x: x.t()[2:].sigmoid_(),
    "out": lambda x: torch.mul(x.clone(), 2, out=x),
    "sum into": lambda x: torch.sum(torch.ones(2, 3, 4, device=x.device), 0, out=x),
    "mm into": lambda x: torch.mm(torch.ones(3, 2, device=x.device), torch.ones(2, 4, device=x.device), out=x),
    "addmm_": lambda x: x.addmm_(torch.ones(3, 2, device=x.device), torch.ones(2, 4, device=x.device)),
    "fill_": lambda x: x.fill_(7),
    "zero_": lambda x: x.zero_(),
    "random_": lambda x: x.random_(0, 2).mul_(0),
    "from the host": lambda x: x.copy_(torch.ones(3, 4)),
    "a row from the host": lambda x: x[0].copy_(torch.ones(4)),
    "from the device": lambda x: x.copy_(torch.ones(3, 4, device=x.device)),
    "from another dtype": lambda x: x.copy_(torch.ones(3, 4, device=x.device, dtype=torch.int64)),
    "index_put_": lambda x: x.index_put_((torch.tensor([0, 2], device=x.device),), torch.tensor(9.0, device=x.device)),
    "index_add_": lambda x: x.index_add_(0, torch.tensor([1, 1], device=x.device), torch.ones(2, 4, device=x.device)),
    "scatter_": lambda x: x.scatter_(1, torch.tensor([[1], [0], [3]], device=x.device), 8.0),
    "masked_fill_": lambda x: x.masked_fill_(x > 0, 2.0),
    "cumsum_": lambda x: x.cumsum_(1),
    "sort into": lambda x: torch.sort(x.clone(), 1, True, out=(x, x.new_empty(3, 4, dtype=torch.int64))),
    "tril_": lambda x: x.tril_(),
    "dropout": lambda x: torch.nn.functional.dropout(x, 1.0, inplace=True),
    "foreach": lambda x: torch._foreach_mul_([x], 3.0),
    "Adam": optimise(torch.optim.Adam, fused=True),
    "SGD": optimise(torch.optim.SGD, momentum=0.9, fused=True),
    "SGD of lists": optimise(torch.optim.SGD, momentum=0.9, foreach=True),
    "Triton": lambda x: increase[(1,)](x, x.numel(), 16) if x.device.type == DEVICE else x.add_(1),
    "resize_": lambda x: x.resize_(4, 4).zero_(),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_write_parts_them(name: str) -> None:
    write = WRITERS[name]
    expected = VALUES.clone()
    write(expected)
    for writes_clone in (True, False):
        tensor = VALUES.to(DEVICE)
        clone = torch._lazy_clone(tensor)
        assert shared(tensor) and shared(clone)
        written, other = (clone, tensor) if writes_clone else (tensor, clone)
        write(written)
        torch.testing.assert_close(written.cpu(), expected)
        assert torch.equal(other.cpu(), VALUES)
        assert not shared(written)


def test_reads_keep_them_together() -> None:
    tensor = VALUES.to(DEVICE)
    clone = torch._lazy_clone(tensor)
    square = clone @ tensor.t()
    torch.testing.assert_close(square.cpu(), VALUES @ VALUES.t())
    for read, reference in (
        (clone + tensor, VALUES * 2),
        (clone[:, 1:].exp(), VALUES[:, 1:].exp()),
        (clone.t().contiguous(), VALUES.t()),
        (clone.sum(0), VALUES.sum(0)),
        (clone.softmax(1), VALUES.softmax(1)),
        (clone.sort(1).values, VALUES.sort(1).values),
        (clone.index_select(0, torch.tensor([2, 0], device=DEVICE)), VALUES[[2, 0]]),
        (torch.nn.functional.layer_norm(clone, (4,)), torch.nn.functional.layer_norm(VALUES, (4,))),
        (torch.cat([clone, tensor]), torch.cat([VALUES, VALUES])),
        (torch._foreach_norm([clone])[0], VALUES.norm()),
        (torch._foreach_add([clone], 1)[0], VALUES + 1),
        (clone.to(torch.float16), VALUES.to(torch.float16)),
        (clone[clone > 0], VALUES[VALUES > 0]),
    ):
        torch.testing.assert_close(read.cpu(), reference, atol=1e-5, rtol=1e-5)
    assert shared(tensor) and shared(clone)
    assert torch._C._data_address(clone) == torch._C._data_address(tensor)


def test_the_last_owner_keeps_the_memory() -> None:
    tensor = VALUES.to(DEVICE)
    place = tensor.data_ptr()
    first, second = torch._lazy_clone(tensor), torch._lazy_clone(tensor)
    second.add_(1)
    del tensor
    first.add_(2)
    assert first.data_ptr() == place and torch.equal(first.cpu(), VALUES + 2) and torch.equal(second.cpu(), VALUES + 1)
    asked = torch._lazy_clone(first)
    assert asked.data_ptr() != torch._C._data_address(first)  # as on CUDA: who asks for the address may write there


def test_views_of_one_clone_move_together() -> None:
    tensor = VALUES.to(DEVICE)
    clone = torch._lazy_clone(tensor)
    row = clone[1]
    torch.add(clone[0], clone[2], out=row)
    expected = VALUES.clone()
    expected[1] = VALUES[0] + VALUES[2]
    assert torch.equal(clone.cpu(), expected) and torch.equal(tensor.cpu(), VALUES)


def test_on_a_device_that_is_not_the_current_one() -> None:
    tensor = VALUES.to("mtia_sim:1")
    clone = torch._lazy_clone(tensor)
    clone.sub_(1)
    clone[0].copy_(torch.zeros(4))
    assert torch.equal(tensor.cpu(), VALUES) and torch.equal(clone[1:].cpu(), VALUES[1:] - 1)


def test_a_gradient_passes() -> None:
    weight = VALUES.to(DEVICE).requires_grad_()
    clone = torch._lazy_clone(weight)
    clone.mul_(3)
    clone.sum().backward()
    assert weight.grad is not None and (weight.grad == 3).all() and torch.equal(weight.detach().cpu(), VALUES)
