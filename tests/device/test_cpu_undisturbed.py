"""CPU torch goes on as if mtia_sim were not installed, torch.compile included."""

import pytest
import torch

from tests.device.subprocesses import run_successfully


@pytest.mark.slow
@pytest.mark.parametrize("use_device_first", [False, True])
def test_cpu_compile(use_device_first: bool) -> None:
    run_successfully(
        f"""
        import torch
        if {use_device_first}:
            torch.ones(3).to("mtia_sim")
        module = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.GELU(), torch.nn.Linear(16, 4))
        compiled = torch.compile(module)
        x = torch.randn(5, 8)
        out = compiled(x)
        torch.testing.assert_close(out, module(x))
        out.sum().backward()
        """,
        timeout=300,
    )


def test_cpu_results_generators_and_autocast_are_untouched() -> None:
    program = """
        import torch
        torch.manual_seed(3)
        x = torch.randn(4, 4)
        with torch.autocast("cpu"):
            y = x @ x
        print(x.sum().item(), y.dtype, torch.empty(2).device, torch.get_default_device())
    """
    assert run_successfully(program) == run_successfully(program, TORCH_DEVICE_BACKEND_AUTOLOAD="0")


def test_cpu_data_loader_with_workers() -> None:
    run_successfully(
        """
        import torch
        from torch.utils.data import DataLoader, TensorDataset
        torch.ones(1).to("mtia_sim")
        loader = DataLoader(TensorDataset(torch.arange(20.0)), batch_size=5, num_workers=2)
        assert sum(batch.sum().item() for (batch,) in loader) == 190
        """
    )


def test_default_device_stays_cpu() -> None:
    assert torch.empty(1).device.type == "cpu"
