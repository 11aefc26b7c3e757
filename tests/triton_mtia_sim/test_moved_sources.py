"""A cache filled by one checkout serves a copy of it: messages and reports name the copy's files."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mtia_core.program import Location, TileProgram
from triton_mtia_sim.moved_sources import moved_folder, relocate_program, relocate_text

SCRIPT = """
import sys, torch, triton
import triton.language as tl
from ops.helper import half

@triton.jit
def read(x, out, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(out + i, half(tl.load(x + i)))

x, out = torch.randn(8, device="mtia_sim"), torch.empty(8, device="mtia_sim")
read[(1,)](x, out, BLOCK=8)
print(torch.mtia_sim.explain(read))
read[(1,)](x, torch.empty(4, device="mtia_sim"), BLOCK=8)
torch.mtia_sim.synchronize()
"""


def test_messages_and_reports_name_the_files_of_the_copy(tmp_path):
    first, copy = tmp_path / "first" / "project", tmp_path / "copy"
    (first / "ops").mkdir(parents=True)
    (first / "script.py").write_text(SCRIPT)
    (first / "ops" / "helper.py").write_text("import triton\n\n\n@triton.jit\ndef half(x):\n    return x * 0.5\n")
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path / "cache")}

    def run(folder: Path) -> tuple[str, str]:
        done = subprocess.run([sys.executable, folder / "script.py"], env=environment, capture_output=True, text=True)
        return done.stdout, done.stderr

    run(first)
    shutil.move(first, copy)
    report, errors = run(copy)
    assert "tl.store(out + i, half(tl.load(x + i)))" in report and "return x * 0.5" in report
    assert "OutOfBounds" in errors and "script.py:9" in errors and str(first) not in report + errors


def test_a_cached_program_names_the_files_of_the_copy():
    program = TileProgram("k", strings=["k", "a message"])
    program.locations = [Location("/a/p/k.py", 3, 1), Location("/a/p/ops/h.py", 4, 0), Location("/lib/t.py", 5, 0)]
    moved = TileProgram.decode(relocate_program(program.encode(), "/b/p/k.py"))
    assert [item.file for item in moved.locations] == ["/b/p/k.py", "/b/p/ops/h.py", "/lib/t.py"]
    assert moved.strings[:2] == program.strings and [item.line for item in moved.locations] == [3, 4, 5]
    for same in (None, "/a/p/k.py", "/b/other.py"):
        assert relocate_program(program.encode(), same) == program.encode()
    assert relocate_program(b"no program", "/b/p/k.py") == b"no program"


def test_what_moved_is_told_from_what_did_not():
    assert moved_folder(["/a/p/k.py", "/lib/t.py"], "/b/p/k.py") == ("/a/", "/b/")
    assert moved_folder(["/a/x/k.py", "/a/y/k.py"], "/b/y/k.py") == ("/a/", "/b/")
    assert moved_folder(["/b/k.py", "/a/k.py"], "/b/k.py") is None
    assert moved_folder(["/a/other.py"], "/b/k.py") is None
    assert moved_folder(["/k.py"], "/b/k.py") is None and moved_folder([], "/b/k.py") is None


@pytest.mark.parametrize("source", [None, "/a/k.py", "/b/z.py"])
def test_text_that_did_not_move_stays(source):
    text = '#loc = loc("/a/k.py":1:0)'
    assert relocate_text(text, source) == text
