"""What importing the device registers."""

from tests.device import subprocesses


def test_no_kernel_is_registered_twice() -> None:
    """torch warns of the first on standard error, and a later registration silently wins."""
    ended = subprocesses.run("import torch; torch.ones(2, device='mtia_sim') + 1")
    assert ended.returncode == 0
    assert "Overriding a previously registered kernel" not in ended.stderr + ended.stdout
