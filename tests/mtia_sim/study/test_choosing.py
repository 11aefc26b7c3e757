"""docs/choosing.md: each command whose output stands there runs on a small variant, and prints a table of that form."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from mtia_sim.__main__ import main
from mtia_sim.study.runs import CACHE_VARIABLE
from tests.source_tree import ROOT

DOCUMENT = ROOT / "docs" / "choosing.md"


def runner() -> Any:
    specification = importlib.util.spec_from_file_location("run_commands", ROOT / "docs" / "run_commands.py")
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


RUNNER = runner()
COMMANDS = RUNNER.commands(DOCUMENT.read_text())


DESIGNED = "runs/llama4_chip"  # where the document keeps its own chip


@pytest.fixture(scope="module")
def designed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That folder, of the small variants, with a chip in it."""
    folder = tmp_path_factory.mktemp("chip")
    (folder / "best.toml").write_text('name = "best"\nbase = "mtia300"\n')
    return folder


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("study")))
        patch.chdir(ROOT)
        yield


def small(words: list[str], designed: Path) -> list[str]:
    """The same question about one layer and two chips."""
    short = [word.replace(".py:token", ".py:layer").replace(DESIGNED, str(designed)) for word in words]
    if "--chips" in short:
        place = short.index("--chips") + 1
        short[place] = ",".join(short[place].split(",")[:2])
    if words[0] == "design":
        folder = str(designed / "small")  # a search goes on in its folder
        return [*short, "--candidates", "2", "--vary", "dram_bytes_per_second=3e12:9e12", "--out", folder]
    return short if any(".py:" in word for word in words) else [*short, "--layers", "1", "--seq", "128"]


def test_every_command_has_its_output() -> None:
    text = DOCUMENT.read_text()
    assert len(COMMANDS) == text.count("```text\n") >= 8
    shown: list[list[str]] = []
    again = RUNNER.with_outputs(text, lambda words: shown.append(words) or "here\n")
    assert shown == COMMANDS and again.count("```text\nhere\n```") == len(COMMANDS)
    assert RUNNER.with_outputs(text, outputs_of(text)) == text


def outputs_of(text: str) -> Any:
    parts = [part.split("```\n")[0] for part in text.split("```text\n")[1:]]
    return lambda words: parts[COMMANDS.index(words)]


def table(lines: list[str]) -> tuple[list[str], list[str]]:
    """The titles of a printed table, and what its rows begin with."""
    begin = next(number for number, line in enumerate(lines) if line.startswith("chip "))
    return lines[begin].split(), [line.split()[0] for line in lines[begin + 1 : lines.index("", begin)]]


def marks(words: list[str]) -> Any:
    """Those that ask another one's question of other numbers are slow."""
    return pytest.mark.slow if {"--set", "--batch", "--price"} & set(words) else ()


@pytest.mark.parametrize("words", [pytest.param(words, marks=marks(words), id=" ".join(words)) for words in COMMANDS])
def test_a_command_runs_on_a_small_variant(
    words: list[str], designed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words[:3] == ["python", "-m", "mtia_sim"]
    assert main(small(words[3:], designed)) == 0
    printed, written = capsys.readouterr().out, outputs_of(DOCUMENT.read_text())(words)
    assert written, "run docs/run_commands.py docs/choosing.md"
    titles, rows = table(printed.splitlines())
    assert titles == table(written.splitlines())[0]
    if words[3] == "compare":
        assert rows == table(written.splitlines())[1][:2]
    else:
        assert "the same numbers" in printed and "the same numbers" in written
