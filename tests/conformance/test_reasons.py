"""Rules of the reason table on messages that the suites gave."""

from pathlib import Path

import pytest

from tests.conformance.reasons import RULES, Counts, classify

CASES = [
    ("failed", "KeyError: \"Unknown key: 'ttgir'\"", "vendor: inspects ptx, amdgcn, llir or ttgir", Counts.VENDOR),
    ("failed", "KeyError: 'weights'", "error: KeyError", Counts.OURS),
    ("failed", "killed by SIGSEGV\n", "crash of the process", Counts.OURS),
    ("failed", "hang: nothing for 125 s while a case ran", "time limit of a case", Counts.OURS),
    ("failed", "AssertionError: \nNot equal to tolerance rtol=0.01", "wrong result", Counts.OURS),
    ("failed", "OutOfLocalMemory: softmax.py:42 needs 160 KiB", "refused: local memory", Counts.OURS),
    ("failed", "NotImplementedError: Unimplemented: aten::histc has no", "not implemented: aten::histc", Counts.OURS),
    ("failed", "UnsupportedOperation: test_core.py:1055: math.absf of", "not implemented: math.absf", Counts.OURS),
    ("failed", "RuntimeError: odd", "error: RuntimeError", Counts.OURS),
    ("skipped", "uint cannot be negative", "the test excludes the combination on every device", Counts.VOID),
    ("skipped", "CTAs is unsupported for these cards", "vendor: clusters of SMs (num_ctas)", Counts.VENDOR),
    ("skipped", "expected failure: odd", "the test excludes the combination on every device", Counts.VOID),
    ("skipped", "expected failure: Requires 4 MTIA_SIM devices", "needs a second device", Counts.VENDOR),
    (
        "skipped",
        "requires 17.2 GB of free CUDA memory",
        "not run here: asks for 17.2 GB of free device memory",
        Counts.VOID,
    ),
    ("skipped", "a reason nobody has seen", "upstream skip: a reason nobody has seen", Counts.OURS),
]


@pytest.mark.parametrize(("outcome", "message", "reason", "counts"), CASES)
def test_class(outcome: str, message: str, reason: str, counts: Counts, tmp_path: Path) -> None:
    result = {"outcome": outcome, "message": message, "file": "test_absent.py", "case": "test_absent.py::test"}
    assert classify(result, tmp_path) == (reason, counts)


def test_the_source_of_the_test_decides_too(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text("def test_gpu(k):\n    assert k.asm['ptx']\n\ndef test_any(k):\n    pass\n")
    skipped = {"outcome": "skipped", "message": "no such thing", "file": "test_one.py"}
    assert classify({**skipped, "case": "test_one.py::test_gpu[1]"}, tmp_path)[1] is Counts.VENDOR
    assert classify({**skipped, "case": "test_one.py::test_any[1]"}, tmp_path)[1] is Counts.OURS


def test_which_path_is_taken_is_not_which_numbers_it_gives(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text("def test_path():\n    with _OpRecorder() as rec:\n        pass\n")
    failed = {"outcome": "failed", "message": "AssertionError: no", "file": "test_one.py", "case": "f::test_path"}
    assert classify({**failed, "statement": "assert rec.has_addmm_out_into(shape)"}, tmp_path)[1] is Counts.VENDOR
    assert classify({**failed, "statement": "torch.testing.assert_close(got, want)"}, tmp_path)[1] is Counts.OURS


def test_the_line_that_raised_decides_too(tmp_path: Path) -> None:
    failed = {"outcome": "failed", "message": "AssertionError: ", "file": "absent.py", "case": "absent.py::test"}
    assert classify({**failed, "raised_line": "assert x.is_cuda"}, tmp_path) == ("CUDA-only API", Counts.VENDOR)
    assert classify({**failed, "raised_line": "assert x.any()"}, tmp_path)[1] is Counts.OURS


def test_every_class_says_how_it_counts() -> None:
    counts: dict[str, Counts] = {}
    for rule in RULES:
        assert counts.setdefault(rule.reason, rule.counts) is rule.counts
        assert rule.reason.startswith("vendor") <= (rule.counts is Counts.VENDOR)
