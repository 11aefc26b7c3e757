"""Documents that are made of tables agree with the tables."""

import importlib.util

import pytest

from tests.source_tree import ROOT


def load_generator():
    specification = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    generator = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(generator)
    return generator


GENERATED = load_generator().GENERATED


@pytest.mark.parametrize("name", GENERATED)
def test_document_is_up_to_date(name: str) -> None:
    written = (ROOT / "docs" / name).read_text()
    assert written == GENERATED[name](), f"docs/{name} is stale: run python docs/generate.py"
