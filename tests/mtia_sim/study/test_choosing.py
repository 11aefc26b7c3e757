"""docs/choosing.md: each command whose output stands there runs on a small variant, and prints a table of that form."""

import importlib.util
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


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("study")))
        patch.chdir(ROOT)
        yield


def small(words: list[str]) -> list[str]:
    """The same question about one layer."""
    short = [word.replace(".py:token", ".py:layer") for word in words]
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


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_runs_on_a_small_variant(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert words[:3] == ["python", "-m", "mtia_sim"]
    assert main(small(words[3:])) == 0
    printed, written = (
        text.splitlines() for text in (capsys.readouterr().out, outputs_of(DOCUMENT.read_text())(words))
    )
    assert written, "run docs/run_commands.py docs/choosing.md"
    assert printed[2].split() == written[2].split()
    rows = [[line.split()[0] for line in text[3 : text.index("", 3)]] for text in (printed, written)]
    assert rows[0] == rows[1]
