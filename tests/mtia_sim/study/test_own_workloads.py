"""Workloads of a user's own: what they may do, and the sentence in which each mistake ends."""

import sys
from pathlib import Path
from typing import Any

import pytest

from mtia_core.errors import InvalidArgument
from mtia_sim.__main__ import main
from mtia_sim.study import compare_command, own_workloads, runs
from mtia_sim.study.runs import CACHE_VARIABLE


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A cache of its own; modules and paths as they were."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "study"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "def step():\n    raise ValueError('my own\\nmistake')\n",
            r"mine.py:2: step ended with ValueError: my own mistake;",
        ),
        ("def step():\n    import sys\n    sys.exit(3)\n", r"mine.py:3: step ended with SystemExit: 3; mend it"),
        ("def step(:\n", r"mine.py:1: importing it ended with SyntaxError"),
        ("import not_there\n", r"mine.py:1: importing it ended with ModuleNotFoundError"),
        ("def step(x):\n    pass\n", r"step of .*mine.py takes arguments; wrap it in one that takes none"),
        ("step = 3\n", r"mine.py has no function step; name a function"),
    ],
)
def test_a_mistake_is_said_with_its_line(text: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(InvalidArgument, match=expected):
        own_workloads.load(path, "step")()


@pytest.mark.parametrize(
    ("line", "package"),
    [("from .near import number", False), ("from near import number", False), ("from .near import number", True)],
)
def test_a_file_may_import_its_neighbours(line: str, package: bool, tmp_path: Path) -> None:
    folder = tmp_path / "own_package"
    folder.mkdir()
    if package:
        (folder / "__init__.py").touch()
    (folder / "near.py").write_text("number = 7\n")
    (folder / "mine.py").write_text(f"{line}\n\n\ndef step():\n    return number\n")
    assert own_workloads.load(folder / "mine.py", "step")() == 7


def test_a_changed_neighbour_is_another_workload(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from near import number\n")
    (tmp_path / "near.py").write_text("number = 7\n")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    workload = f"{tmp_path / 'mine.py'}:step"
    found = {own_workloads.digest(workload)}
    (tmp_path / "near.py").write_text("number = 8\n")
    found.add(own_workloads.digest(workload))
    (tmp_path / "package" / "part.py").write_text("number = 9\n")
    found.add(own_workloads.digest(workload))
    assert len(found) == 3
    (tmp_path / "notes.txt").write_text("of no account")
    assert own_workloads.digest(workload) in found
    assert own_workloads.digest("gemm") == ""


def test_a_thread_that_goes_on_holds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_AT_END", 0.5)
    path = tmp_path / "mine.py"
    path.write_text(
        "import threading, time, torch\nthreading.Thread(target=time.sleep, args=(600,)).start()\n\n\n"
        "def step():\n    return torch.ones(256, device='mtia_sim') + 1\n"
    )
    assert main(["compare", "--workload", f"{path}:step", "--chips", "mtia300"]) == 0


def test_one_that_prints_and_returns_nothing_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "import torch\n\nprint('imported')\n\n\n"
        "def step():\n    print('called')\n    torch.ones(512, 512, device='mtia_sim').exp_()\n\n\n"
        "def idle():\n    return torch.ones(3).exp_()\n"
    )
    json = tmp_path / "made" / "rows.json"
    assert main(["compare", "--workload", f"{path}:step", "--chips", "mtia300", "--json", str(json)]) == 0
    assert "mtia300" in capsys.readouterr().out and json.is_file()
    assert main(["compare", "--workload", f"{path}:idle", "--chips", "mtia300"]) == 2
    assert 'does nothing on the device; make its tensors on "mtia_sim"' in capsys.readouterr().err


def test_what_cannot_be_written_is_said_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.touch()
    for words in (["--json", str(tmp_path)], ["--json", str(file / "rows.json")], ["--out", str(file)]):
        assert main(["compare", "--workload", "gemm", "--chips", "mtia300", *words]) == 2
        assert "nothing can be written there" in capsys.readouterr().err


def test_an_interrupted_comparison_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(compare_command, "measured_all", interrupted)
    assert main(["compare", "--workload", "gemm", "--chips", "mtia300"]) == 130
    assert "interrupted; what was measured is remembered: ask the same to go on" in capsys.readouterr().err


def test_a_cache_that_is_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv(CACHE_VARIABLE, str(file))
    assert main(["compare", "--workload", "gemm", "--shape", "64x64x64", "--chips", "mtia300"]) == 2
    assert f"name a folder for them in {CACHE_VARIABLE}" in capsys.readouterr().err
