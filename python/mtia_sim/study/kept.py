"""Measurements of a study in a file, so that one that was interrupted goes on."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtia_core.errors import InvalidArgument


class Kept:
    """Measurements in a file, one a line, under a first line that says what was asked.

    Raises:
        InvalidArgument: The file answers another question.
    """

    def __init__(self, path: Path, question: Mapping[str, Any]) -> None:
        self._path, self.found = path, {}
        header = json.dumps({"question": question}, sort_keys=True)
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        if len(lines) > 1:  # of a question that was refused nothing is kept
            self._check(lines[0], question)
        for line in lines[1:]:
            try:
                entry = json.loads(line)
                self.found[entry["chosen"]] = entry["answer"]
            except (ValueError, KeyError, TypeError):
                continue  # the line at which a run was killed
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = [json.dumps({"chosen": key, "answer": answer}) for key, answer in self.found.items()]
        path.write_text("\n".join([header, *whole]) + "\n")

    found: dict[str, dict[str, Any]]

    def _check(self, line: str, question: Mapping[str, Any]) -> None:
        try:
            asked = dict(json.loads(line)["question"])
        except (ValueError, KeyError, TypeError):
            raise InvalidArgument(f"{self._path} does not say what it keeps", remedy="give another --out") from None
        differing = sorted(key for key in {*asked, *question} if asked.get(key) != question.get(key))
        if differing:
            raise InvalidArgument(
                f"{self._path} keeps a study with another {', '.join(differing)}",
                remedy="ask the same to go on, or give another --out",
            )

    def add(self, key: str, answer: dict[str, Any]) -> None:
        """Keeps an answer, at once."""
        self.found[key] = answer
        with self._path.open("a") as file:
            file.write(json.dumps({"chosen": key, "answer": answer}) + "\n")


def key_of(chosen: Mapping[str, float]) -> str:
    """A candidate's name in the file."""
    return json.dumps(dict(sorted(chosen.items())))
