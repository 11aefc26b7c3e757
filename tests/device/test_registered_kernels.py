"""Kernels that a program registers for the device's operators with torch.library: they win, whenever they come."""

import pytest

from tests.device.subprocesses import run_successfully

PROGRAM = """
    import torch
    calls = []
    def absolute(x):
        calls.append(x.shape)
        return torch.where(x < 0, -x, x)
    {before}
    library = torch.library.Library("aten", "IMPL")
    library.impl("{operator}", absolute, "PrivateUse1")
    x = torch.tensor([-2.0, 3.0], device="mtia_sim")
    assert torch.{operator}(x).tolist() == [2.0, 3.0] and len(calls) == 1, calls
    out = torch.empty(2, device="mtia_sim")
    torch.{operator}(x, out=out)  # another overload: still the device's own
    {after}
"""


@pytest.mark.parametrize("before", ["pass", "torch.ones(1, device='mtia_sim').abs()"], ids=["before", "after"])
def test_it_wins(before: str) -> None:
    run_successfully(PROGRAM.format(before=before, operator="abs", after="assert out.tolist() == [2.0, 3.0]"))


@pytest.mark.parametrize("before", ["pass", "torch.ones(1, device='mtia_sim').abs()"], ids=["before", "after"])
def test_the_devices_own_returns_when_it_is_gone(before: str) -> None:
    after = "library._destroy(); assert torch.abs(x).tolist() == [2.0, 3.0] and len(calls) == 1"
    run_successfully(PROGRAM.format(before=before, operator="abs", after=after))


def test_an_operator_outside_of_the_elementwise_table() -> None:
    run_successfully(
        """
        import torch
        library = torch.library.Library("aten", "IMPL")
        library.impl("mm", lambda a, b: a.new_full((1,), 7.0), "PrivateUse1")
        a = torch.ones(2, 2, device="mtia_sim")
        assert torch.mm(a, a).tolist() == [7.0]
        library._destroy()
        assert torch.mm(a, a).tolist() == [[2.0, 2.0], [2.0, 2.0]]
        """
    )


def test_gradients_go_through_it() -> None:
    run_successfully(
        """
        import torch
        library = torch.library.Library("aten", "IMPL")
        library.impl("silu", lambda x: x * torch.sigmoid(x) + 1, "PrivateUse1")
        x = torch.tensor([0.5, -1.0], device="mtia_sim", requires_grad=True)
        torch.nn.functional.silu(x).sum().backward()
        y = x.detach().cpu().requires_grad_()
        torch.nn.functional.silu(y).sum().backward()
        torch.testing.assert_close(x.grad.cpu(), y.grad)
        """
    )
