"""The documents keep their word: code blocks run, commands and files that they name exist."""

import ast
import importlib.util
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from mtia_core import chips
from mtia_sim.__main__ import COMMANDS
from mtia_sim.study import prices
from tests.source_tree import ROOT, sources

DOCUMENTS = sources("*.md")


@dataclass(frozen=True)
class Block:
    """A fenced code block of a document."""

    document: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    found = []
    for document in DOCUMENTS:
        text = document.read_text()
        for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            if match[1] in languages:
                found.append(Block(document, text.count("\n", 0, match.start()) + 1, match[1], match[2]))
    return found


# Libraries of docs/clients.md that requirements-dev.txt leaves out: they need much else, or other versions of it.
OPTIONAL = {"trl", "datasets", "litgpt", "torchtune", "torchtitan"}


def missing_libraries(program: str) -> list[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(program)):
        if isinstance(node, ast.ImportFrom):
            names.add(str(node.module).split(".")[0])
        elif isinstance(node, ast.Import):
            names |= {each.name.split(".")[0] for each in node.names}
    return sorted(name for name in names & OPTIONAL if importlib.util.find_spec(name) is None)


def test_no_document_names_a_folder_of_one_machine() -> None:
    named = [
        f"{document.relative_to(ROOT)}: {match[0]}"
        for document in DOCUMENTS
        for match in re.finditer(
            r"(?<![\w.])/(work|home|root|Users|mnt|data|scratch|opt)/[\w.-]+", document.read_text()
        )
    ]
    assert not named, "\n".join(named)


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_block_runs(block: Block, tmp_path: Path) -> None:
    if missing := missing_libraries(block.text):
        pytest.skip(f"{', '.join(missing)} not installed: docs/clients.md has the versions")
    script = tmp_path / "block.py"
    script.write_text(block.text)
    done = subprocess.run([sys.executable, str(script)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("block", blocks("bash"), ids=str)
def test_bash_block_names_what_exists(block: Block) -> None:
    """Make targets are expanded without being run: they build and test everything, this test among them."""
    for line in block.text.splitlines():
        words = [word for word in shlex.split(line, comments=True) if not re.match(r"\w+=", word)]
        if not words:
            continue
        if words[0] == "make":
            subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, check=True, capture_output=True)
        elif words[1:3] == ["-m", "mtia_sim"]:
            assert words[3] in COMMANDS, f"{block}: python -m mtia_sim has no command {words[3]}"
        else:
            named = [word for word in words if "/" in word and not word.startswith(("-", "/", ".venv"))]
            assert named, f"{block}: no test knows how to check: {line}"
            for word in named:
                assert (ROOT / word.split("::")[0]).exists(), f"{block} names {word}, which does not exist"


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_toml_block_is_a_chip_or_a_price_file(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "block.toml"
    path.write_text(block.text)
    given = tomllib.loads(block.text)
    if "name" in given:
        assert chips.load(path).name == given["name"]
    elif "cluster" in given:
        fields = "".join(
            (ROOT / name).read_text() for name in ("csrc/chip/chip_fields.def", "csrc/network/cluster_fields.def")
        )
        assert all(re.search(rf"\b{name}\b", fields) for name in given["cluster"])
    else:
        assert set(given["chips"]) <= set(prices.load(path).chips)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_named_files_exist(document: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if not link.startswith("http")]
    folders = tuple(f"{path.name}/" for path in ROOT.iterdir() if path.is_dir())
    named = [word for word in re.findall(r"`([\w./-]+)(?:::?[\w.]+)?`", text) if word.startswith(folders)]
    ignored = ("build", "runs/", ".venv")
    missing = [link for link in links if not (document.parent / link).exists()]
    missing += [word for word in named if not word.startswith(ignored) and not (ROOT / word).exists()]
    assert not missing, f"{document.relative_to(ROOT)} names what does not exist: {missing}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_named_symbols_exist(document: Path) -> None:
    """`path::name` names a function, a test or a table row of that file."""
    for path, name in re.findall(r"`([\w./-]+)::([\w.]+)`", document.read_text()):
        assert re.search(rf"\b{re.escape(name)}\b", (ROOT / path).read_text()), f"{path} has no {name}"


def test_environment_variables_are_documented() -> None:
    """Every MTIA_SIM_ variable that the product reads has its row in the README."""
    readme = (ROOT / "README.md").read_text()
    read = set()
    for path in sources("csrc/*.cpp", "csrc/*.h", "python/*.py", "kernels/*.py"):
        read |= set(re.findall(r"""["'](MTIA_SIM_[A-Z_]+)["']""", path.read_text()))
    missing = sorted(name for name in read if f"`{name}`" not in readme)
    assert not missing, f"README.md has no row for {missing}"
