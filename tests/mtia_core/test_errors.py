"""The exception classes are those of csrc/base/error.h, and carry problem, place and remedy."""

import pickle
import re
from pathlib import Path

import pytest

from mtia_core import errors

ROOT = Path(__file__).resolve().parents[2]


def test_one_class_for_each_category_of_the_table() -> None:
    rows = re.findall(r"^\s*ROW\((\w+)\)\s*/\*\s*(.*?)\s*\*/", (ROOT / "csrc/base/error.h").read_text(), re.MULTILINE)
    assert [name for name, _ in rows] == list(errors.CATEGORIES)
    for name, meaning in rows:
        documented = (errors.CATEGORIES[name].__doc__ or "").rstrip(".")
        assert documented.lower() == meaning.lower(), f"errors.{name} and error.h describe it differently"


@pytest.mark.parametrize("category", errors.CATEGORIES.values())
def test_message_names_category_place_problem_and_remedy(category: type[errors.MtiaError]) -> None:
    error = category("needs 160 KiB", "softmax.py:42", "use a smaller BLOCK")
    assert str(error) == f"{category.__name__}: softmax.py:42: needs 160 KiB; use a smaller BLOCK"
    assert str(category("needs 160 KiB")) == f"{category.__name__}: needs 160 KiB"
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is category
    assert (copy.problem, copy.where, copy.remedy, str(copy)) == (error.problem, error.where, error.remedy, str(error))
