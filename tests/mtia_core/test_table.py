"""The reader of tables: all rows or none."""

from pathlib import Path

import pytest

from mtia_core import table


def test_rows_and_what_stands_between_them(tmp_path: Path) -> None:
    path = tmp_path / "things.def"
    path.write_text('// THING(name, "text")\nTHING(one, "first, of \\"two\\"")\n\nOTHER(x)\nTHING(two, "")\n')
    assert table.rows(path, "THING", rf"(\w+), {table.TEXT}") == [("one", 'first, of \\"two\\"'), ("two", "")]


@pytest.mark.parametrize("text", ['THING(one, "")\nTHING(two,\n      "wrapped")\n', 'THING(one, "")\nTHING(two)\n', ""])
def test_a_row_that_cannot_be_read_is_not_left_out(tmp_path: Path, text: str) -> None:
    path = tmp_path / "things.def"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"things.def: \d rows start with THING\( and \d of them can be read"):
        table.rows(path, "THING", rf"(\w+), {table.TEXT}")
