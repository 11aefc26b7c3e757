"""House rules that a machine can check: size of files, one header guard, names, header sentences."""

import re

from tests.source_tree import ROOT, sources

MAXIMUM_LINES = 600
CODE = sources(
    "csrc/*", "python/*", "kernels/*", "tests/*", "benchmarks/*", "examples/*", "cmake/*", "setup.py", "Makefile"
)


def listing(paths: list[str]) -> str:
    return "\n".join(paths)


def test_no_file_is_longer_than_one_can_read() -> None:
    code = [path for path in CODE if path.suffix in (".py", ".cpp", ".h", ".inc", ".cmake")]
    long = [f"{p.relative_to(ROOT)}: {n}" for p in code if (n := len(p.read_text().splitlines())) > MAXIMUM_LINES]
    assert not long, f"split what has more than {MAXIMUM_LINES} lines:\n" + listing(long)


def test_headers_guard_themselves_once() -> None:
    headers = [path for path in CODE if path.suffix == ".h"]
    assert headers
    wrong = [str(p.relative_to(ROOT)) for p in headers if p.read_text().count("#pragma once") != 1]
    assert not wrong, "#pragma once is missing or doubled in:\n" + listing(wrong)


def test_every_file_starts_with_a_sentence_that_says_what_it_is() -> None:
    starts = {".py": ('"""', "#!"), ".cpp": ("//",), ".h": ("//",), ".inc": ("//",), ".cmake": ("#",), ".def": ("//",)}
    wrong = []
    for path in CODE:
        text = path.read_text() if path.suffix in starts else ""
        if text.strip() and not text.startswith(starts[path.suffix]):
            wrong.append(str(path.relative_to(ROOT)))
    assert not wrong, "no header sentence in:\n" + listing(wrong)


def test_no_file_is_a_bag_of_everything() -> None:
    bags = [str(path.relative_to(ROOT)) for path in CODE if re.fullmatch(r"(utils?|helpers?|misc|common)", path.stem)]
    assert not bags, "name it by what it holds:\n" + listing(bags)


def test_no_code_asks_which_chip_it_is() -> None:
    """A chip is data: a comparison with a chip's name belongs into a field of chip_fields.def."""
    code = sources("csrc/*.cpp", "csrc/*.h", "python/*.py", "kernels/*.py", "kernels/*.cpp", "kernels/*.h")
    chip = "|".join(path.stem for path in (ROOT / "python/mtia_core/chips").glob("*.toml"))
    pattern = re.compile(rf"""[=!]=\s*["']({chip})["']|["']({chip})["']\s*[=!]=""")
    wrong = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in code
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if pattern.search(line)
    ]
    assert not wrong, listing(wrong)
