"""Runs the commands of documents and writes what they print: `python docs/run_commands.py docs/choosing.md`.

A command is a bash block of one line whose output, a text block, stands right behind it.
"""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
_COMMAND = re.compile(
    r"(?<=^```bash\n)(?P<command>[^\n]+)(?P<between>\n```\n+```text\n)(?P<output>.*?)(?=^```$)", re.M | re.S
)


def commands(text: str) -> list[list[str]]:
    """The words of each command of a document."""
    return [shlex.split(match["command"]) for match in _COMMAND.finditer(text)]


def with_outputs(text: str, run: Callable[[list[str]], str]) -> str:
    """The document with the outputs that `run` gives for the commands' words."""
    return _COMMAND.sub(lambda match: match["command"] + match["between"] + run(shlex.split(match["command"])), text)


def output(words: list[str]) -> str:
    """What a command prints; its errors go where those of this process go."""
    print(shlex.join(words), file=sys.stderr)
    if "--out" in words:  # a search would go on from what it finds there, or refuse what other code measured
        folder = (ROOT / words[words.index("--out") + 1]).resolve()
        if folder.is_relative_to(ROOT / "runs"):
            shutil.rmtree(folder, ignore_errors=True)
    program = [sys.executable, *words[1:]] if words[0] == "python" else words
    return subprocess.run(program, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        path.write_text(with_outputs(path.read_text(), output))
