"""The numerics finder, the comparison and recordings on a user's C++ kernel of several roles."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

SOURCE = Path(__file__).parent / "cpp_kernels" / "logarithm.cpp"
LINE = 1 + SOURCE.read_text().splitlines().index("    pe.log(pe.reserve(buffers.result), in);")


@pytest.fixture
def arguments(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Two blocks of 256 and a part of one; x is negative at 777, element 9 of the last."""
    x = torch.rand(1000) + 0.5
    x[777] = -x[777]
    return x.to(device), torch.full((1000,), 9.0, device=device)


def test_a_nan_is_named_with_pe_role_line_and_input(arguments: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, out = arguments
    with torch.mtia_sim.numerics(action="collect") as found:
        torch.mtia_sim.load_kernel(SOURCE)[2, 3](x, out)
    assert len(found.findings) == 1
    text = str(found.findings[0])
    assert f"kernel logarithm on PE 3, logarithm.cpp:{LINE}," in text and "of role compute" in text
    assert "made nan at [0, 9]" in text and f"operand 0 = {x[777].item():g}"[:16] in text
    torch.testing.assert_close(out.cpu(), x.cpu().log(), equal_nan=True)


def test_a_comparison_says_that_it_leaves_the_kernel_out(arguments: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, out = arguments
    with torch.mtia_sim.numerics(compare="float64") as comparison:
        torch.mtia_sim.load_kernel(SOURCE)[()](x, out)
        x.square()
    assert {row.name: row.skipped for row in comparison.rows} == {
        "aten::pow": "",
        "logarithm": "a C++ kernel has no float64 twin",
    }
    torch.testing.assert_close(out.cpu(), x.cpu().log(), equal_nan=True)


def test_a_launch_is_recorded_and_replayed(arguments: tuple[torch.Tensor, torch.Tensor], tmp_path: Path) -> None:
    x, out = arguments
    path = tmp_path / "logarithm.mtia"
    with torch.mtia_sim.record(path, kernel="logarithm"):
        torch.mtia_sim.load_kernel(SOURCE)[()](x, out)
    command = [sys.executable, "-m", "mtia_sim", "replay", str(path), "--check"]
    replayed = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    assert "kernel logarithm, launched by test_cpp_kernels.py:" in replayed.stdout
