"""What a wheel contains beside Python: the header of the C++ tile API, tables and chips."""

import os
import subprocess
import sys
from pathlib import Path

from tests.source_tree import ROOT


def test_the_packages_carry_their_data(tmp_path: Path) -> None:
    environment = os.environ | {"TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}
    command = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(tmp_path / "library")]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    packaged = tmp_path / "library"
    header = {path.name: path for path in (ROOT / "csrc" / "include" / "mtia").iterdir()}
    copies = {path.name: path for path in (packaged / "mtia_sim" / "include" / "mtia").iterdir()}
    assert copies.keys() == header.keys()
    for name, path in copies.items():
        assert not path.is_symlink() and path.read_bytes() == header[name].read_bytes()
    tables = ("mtia_core/tables/instructions.def", "mtia_core/chips/h100.toml", "mtia_core/chip_sources.toml")
    for name in (*tables, "mtia_sim/py.typed"):
        assert (packaged / name).is_file()
    # And the packaged header is enough for a kernel.
    source = ROOT / "examples" / "cpp" / "gemm.cpp"
    include = packaged / "mtia_sim" / "include"
    subprocess.run(["c++", "-std=c++20", "-fsyntax-only", f"-I{include}", str(source)], check=True)
