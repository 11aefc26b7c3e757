"""Views share memory with their base: reading through them, writing through them, no copies."""

from collections.abc import Callable

import pytest
import torch

VIEWS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "view": lambda t: t.view(6, 20),
    "reshape": lambda t: t.reshape(-1, 5),
    "as_strided": lambda t: t.as_strided((4, 3), (5, 7), 2),
    "transpose": lambda t: t.transpose(0, 2),
    "select": lambda t: t[1],
    "slice": lambda t: t[:, 1::2],
    "narrow": lambda t: t.narrow(2, 1, 3),
    "unsqueeze": lambda t: t.unsqueeze(1),
    "squeeze": lambda t: t[:1].squeeze(0),
    "expand": lambda t: t[:, :1].expand(4, 6, 5),
    "permute": lambda t: t.permute(1, 2, 0),
    "diagonal": lambda t: t.diagonal(0, 0, 1),
    "unfold": lambda t: t.unfold(1, 3, 2),
    "view as another dtype": lambda t: t.view(torch.int32),
    "chunk": lambda t: t.chunk(3, 1)[1],
    "unbind": lambda t: t.unbind(2)[3],
    "detach": lambda t: t.detach(),
    "alias": lambda t: torch.ops.aten.alias(t),
    "flatten": lambda t: t.flatten(1),
    "movedim": lambda t: t.movedim(0, -1),
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_has_the_geometry_of_the_cpu_and_the_memory_of_its_base(name: str) -> None:
    values = torch.randn(4, 6, 5)
    tensor = values.to("mtia_sim")
    view, expected = VIEWS[name](tensor), VIEWS[name](values)
    assert view.shape == expected.shape and view.stride() == expected.stride()
    assert view.storage_offset() == expected.storage_offset()
    assert view.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr()
    assert torch.equal(view.cpu(), expected)


def test_writing_through_a_view_changes_the_base() -> None:
    values = torch.randn(4, 6)
    tensor = values.clone().to("mtia_sim")
    values.t()[2:5].copy_(torch.arange(12.0).reshape(3, 4))
    tensor.t()[2:5].copy_(torch.arange(12.0).reshape(3, 4))
    assert torch.equal(tensor.cpu(), values)


def test_an_impossible_view_is_refused_as_on_the_cpu() -> None:
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        torch.empty(4, 6, device="mtia_sim").t().view(24)


def test_autograd_follows_views() -> None:
    leaf = torch.randn(4, 6, device="cpu").to("mtia_sim").requires_grad_()
    view = leaf.view(2, 12)
    assert view._is_view() and view.grad_fn is not None and view._base is leaf
