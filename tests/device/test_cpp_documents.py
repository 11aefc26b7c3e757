"""docs/kernels_cpp.md: its sources are those of examples/cpp, which run; its deadlock report is a real one."""

import re
from pathlib import Path

import pytest
import torch

from mtia_core import errors
from tests.source_tree import ROOT

DOCUMENT = (ROOT / "docs" / "kernels_cpp.md").read_text()
EXAMPLES = ROOT / "examples" / "cpp"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTIA_SIM_CACHE_DIR", str(tmp_path))


def test_the_sources_of_the_document_are_the_examples() -> None:
    shown = re.findall(r"^```cpp\n(// (\w+\.cpp): .*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert sorted(name for _, name in shown) == sorted(path.name for path in EXAMPLES.glob("*.cpp"))
    for text, name in shown:
        assert text == (EXAMPLES / name).read_text()


def test_the_example_gemm() -> None:
    a, b = torch.randn(300, 200).bfloat16(), torch.randn(200, 500).bfloat16()
    c = torch.zeros(300, 500, dtype=torch.bfloat16, device="mtia_sim")
    torch.mtia_sim.load_kernel(EXAMPLES / "gemm.cpp")[()](a.to("mtia_sim"), b.to("mtia_sim"), c)
    torch.testing.assert_close(c.cpu().float(), a.float() @ b.float(), atol=0.1, rtol=1e-2)


def test_the_deadlock_of_the_document() -> None:
    kernel = torch.mtia_sim.load_kernel(ROOT / "tests" / "device" / "cpp_kernels" / "faults.cpp", name="unbalanced")
    kernel[1](torch.zeros(512, device="mtia_sim"), 4)
    with pytest.raises(errors.Deadlock) as raised:
        torch.mtia_sim.synchronize()
    assert str(raised.value) in DOCUMENT
