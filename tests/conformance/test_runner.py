"""The runner on a small suite that passes, fails, skips, crashes and hangs."""

import json
from pathlib import Path

import pytest

from tests.conformance import report
from tests.conformance.reasons import Counts, Result, classify
from tests.conformance.runner import Run
from tests.conformance.suites import Suite

FAKE = """
import os, time, unittest
import pytest

def test_passes():
    pass

@pytest.mark.parametrize("n", [0, 1])
def test_fails_for_one(n):
    wanted = 0
    assert n == wanted, "Mismatched elements"

def test_skips():
    pytest.skip("uint cannot be negative")

def test_vendor():
    kernel = {}
    kernel["ptx"]

@pytest.mark.xfail(reason="known")
def test_expected():
    assert False

def test_crashes():
    os.abort()

def test_after_the_crash():
    pass

def test_hangs():
    time.sleep(60)

def test_after_the_hang():
    pass

def test_too_large():
    assert False

def test_broken_teardown(request):
    request.addfinalizer(lambda: 1 / 0)
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Result]]:
    root = tmp_path_factory.mktemp("fake")
    (root / "pytest.ini").write_text("[pytest]\n")
    (root / "test_fake.py").write_text(FAKE)
    (root / "test_broken.py").write_text("import no_such_package_at_all\n")
    (root / "program.py").write_text("if __name__ == '__main__':\n    raise ValueError('an odd one')\n")
    suite = Suite(
        "fake",
        "a fake",
        "",
        ("*.py",),
        scripts=True,
        not_run=(("test_too_large", "too large"),),
        timeout_s=1,
        chunk=100,
    )
    run = Run(suite, root, report=lambda line: None)
    chosen, broken = run.collect()
    found = dict(broken)
    run.run(chosen, found.update)
    return root, found


def test_every_case_has_its_outcome(results: tuple[Path, dict[str, Result]]) -> None:
    outcomes = {case.split("::")[-1]: result["outcome"] for case, result in results[1].items()}
    assert outcomes == {
        "test_passes": "passed",
        "test_fails_for_one[0]": "passed",
        "test_fails_for_one[1]": "failed",
        "test_skips": "skipped",
        "test_vendor": "failed",
        "test_expected": "skipped",
        "test_crashes": "failed",
        "test_after_the_crash": "passed",
        "test_hangs": "failed",
        "test_after_the_hang": "passed",
        "test_too_large": "skipped",
        "test_broken_teardown": "failed",
        "test_broken.py": "failed",
        "script": "failed",
    }


def test_a_failure_names_its_statement(results: tuple[Path, dict[str, Result]]) -> None:
    found = results[1]["test_fake.py::test_fails_for_one[1]"]
    assert found["statement"] == 'assert n == wanted, "Mismatched elements"'
    assert found["exception"] == "AssertionError"


def test_tables(results: tuple[Path, dict[str, Result]]) -> None:
    root, found = results
    tables = report.tabulate(found, root)
    row = tables.rows["test_fake.py"]
    assert (row.passed, row.failed, row.skipped, row.vendor, row.void) == (4, 5, 3, 1, 3)
    assert row.counted == 8
    classes = {name: (reason.counts, len(reason.cases)) for name, reason in tables.reasons.items()}
    assert classes["not run here: too large"] == (Counts.VOID, 1)
    assert classes["crash of the process"] == (Counts.OURS, 1)
    assert classes["time limit of a case"] == (Counts.OURS, 1)
    assert classes["wrong result"] == (Counts.OURS, 1)
    assert classes["vendor: inspects ptx, amdgcn, llir or ttgir"] == (Counts.VENDOR, 1)
    assert "unclassed" not in classes


def test_the_interval_of_a_sample() -> None:
    """Numbers of Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263 and 15 of 148."""
    for passed, counted, wanted in ((81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605))):
        assert report.Row(passed=passed, failed=counted - passed).interval() == pytest.approx(wanted, abs=5e-5)


def test_a_document_keeps_one_section_a_suite(results: tuple[Path, dict[str, Result]], tmp_path: Path) -> None:
    root, found = results
    run = {"suite": "fake", "title": "a fake", "facts": {"Date": "today"}}
    document = tmp_path / "conformance.md"
    document.write_text("# Conformance\n\nBefore.\n")
    for _ in range(2):
        report.write_section(document, "fake", report.section(run, report.tabulate(found, root)))
    text = document.read_text()
    assert text.count("## fake") == 1 and "Before." in text
    assert "test_fake.py" in text and "50.0 %" in text


def test_results_are_plain_json(results: tuple[Path, dict[str, Result]]) -> None:
    assert json.loads(json.dumps(results[1])) == results[1]


def test_a_list_of_cases_longer_than_a_process_takes_as_an_argument(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    name = "test_" + "long_" * 40
    (tmp_path / "test_many.py").write_text(
        f"import pytest\n@pytest.mark.parametrize('n', range(700))\ndef {name}(n):\n    pass\n"
    )
    run = Run(Suite("many", "many cases", "", ("*.py",)), tmp_path, report=lambda line: None)
    chosen, broken = run.collect()
    found = dict(broken)
    run.run(chosen, found.update)
    assert len(found) == 700 and {result["outcome"] for result in found.values()} == {"passed"}


def test_shuffled_cases_are_the_same_in_a_random_order_over_files(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    for name in "ab":
        (tmp_path / f"test_{name}.py").write_text(
            "import pytest\n@pytest.mark.parametrize('n', range(20))\ndef test_it(n):\n    assert n != 7\n"
        )
    suite = Suite("two", "two files", "", ("*.py",), chunk=9)
    orders = []
    for seed in (None, 1, 1, 2):
        run = Run(suite, tmp_path, shuffle=seed, report=lambda line: None)
        orders.append(run.collect()[0])
    plain, first, again, second = orders
    assert run.population == 40
    assert first == again and first != second and sorted(first) == sorted(second) == sorted(plain)
    assert len({case.split("::")[0] for case in first[:9]}) == 2
    found: dict[str, Result] = {}
    run.run(first, found.update)
    assert sorted(found) == sorted(plain)
    assert sum(result["outcome"] == "failed" for result in found.values()) == 2


def test_a_case_that_takes_too_much_memory_is_stopped_and_the_others_go_on(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_memory.py").write_text(
        "import time\n\ndef test_large():\n    held = b'x' * (1 << 30)\n    time.sleep(30)\n\n"
        "def test_after():\n    pass\n"
    )
    run = Run(Suite("m", "memory", "", ("*.py",)), tmp_path, memory_gib=0.5, report=lambda line: None)
    found: dict[str, Result] = {}
    run.run(run.collect()[0], found.update)
    large, after = (found[f"test_memory.py::test_{name}"] for name in ("large", "after"))
    assert after["outcome"] == "passed"
    assert large["outcome"] == "failed" and large["exception"] == "HostMemory"
    assert classify(large, tmp_path) == ("not run to its end here: needs more than 0.5 GiB of host memory", Counts.VOID)


def test_a_suite_that_names_cuda_runs_on_the_device(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_cuda.py").write_text(
        """
import pytest, torch

@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_it():
    assert torch.cuda.get_device_capability() == (8, 0)
    generator = torch.Generator(device="cuda").manual_seed(3)
    x = torch.randn(5, generator=generator, device="cuda")
    assert isinstance(generator, torch.Generator) and x.device.type == "mtia_sim" and x.is_cuda
    assert x.cpu().cuda().is_cuda and not x.cpu().is_cuda
    with torch.autocast("cuda", dtype=torch.bfloat16):
        assert (x[None] @ x[:, None]).dtype == torch.bfloat16
    assert torch.empty(1 << 26, dtype=torch.uint8, device="cuda").is_cuda

def test_after_the_cache_was_emptied():
    assert torch.mtia_sim.memory_reserved(0) < 1 << 26
"""
    )
    suite = Suite(
        "c",
        "names cuda",
        "",
        ("*.py",),
        redirect=("cuda",),
        after_case="torch.mtia_sim.empty_cache",
        returns=(("torch.cuda.is_available", True), ("torch.cuda.get_device_capability", (8, 0))),
    )
    run = Run(suite, tmp_path, report=lambda line: None)
    found: dict[str, Result] = {}
    run.run(run.collect()[0], found.update)
    assert not [result for result in found.values() if result["outcome"] != "passed"]


RANKS = """
import os, signal, threading, unittest
import npu_names
from torch import distributed
from torch.testing._internal.common_distributed import MultiProcessTestCase

LEFT = []

class TestRanks(MultiProcessTestCase):
    world_size = 2

    def setUp(self):
        super().setUp()
        self._spawn_processes()

    def _begin(self):
        distributed.init_process_group(
            "hccl", rank=self.rank, world_size=2, init_method=f"file://{self.file_name}"
        )

    def test_sum(self):
        import torch
        self._begin()
        torch.npu.set_device(self.rank)
        x = torch.full((3,), self.rank + 1.0, device=torch.device("npu", self.rank))
        distributed.all_reduce(x)
        self.assertEqual(x, torch.full((3,), 3.0))
        assert "npu_not_a_word" and x.npu().device.index == self.rank == torch.accelerator.current_device_index()

    def test_fails_on_a_rank(self):
        self._begin()
        if self.rank == 1:
            raise KeyError("x" * 3000 + " and its end")

def test_uses_the_device_of_this_process():
    import torch
    LEFT.append(torch.ones(3, device="npu"))

def test_crashes():
    os.kill(os.getpid(), signal.SIGABRT)

def test_leaves_nothing_to_the_next():
    assert not LEFT and npu_names.DEVICE == "mtia_sim"
"""


def test_cases_apart_whose_ranks_are_forks(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_ranks.py").write_text(RANKS)
    (tmp_path / "npu_names.py").write_text('DEVICE = "npu"\n')
    suite = Suite(
        "r",
        "ranks",
        "",
        ("test_*.py",),
        renames=((r"\bnpu\b", "mtia_sim"), (r"\bhccl\b", "mccl")),
        prepare="mtia_sim_many_ranks.prepare_ranks",
        apart=True,
        arguments=("--assert=plain",),
        environment=(("WORLD_SIZE", "2"), ("MTIA_SIM_THREADS", "1"), ("OMP_NUM_THREADS", "1")),
        python_path=(".",),
    )
    run = Run(suite, tmp_path, report=lambda line: None)
    found: dict[str, Result] = {}
    run.run(run.collect()[0], found.update)
    named = {case.split("::")[-1]: result for case, result in found.items()}
    assert {name: result["outcome"] for name, result in named.items()} == {
        "test_sum": "passed",
        "test_fails_on_a_rank": "failed",
        "test_uses_the_device_of_this_process": "passed",
        "test_crashes": "failed",
        "test_leaves_nothing_to_the_next": "passed",
    }, named
    assert "and its end" in named["test_fails_on_a_rank"]["message"]
    assert classify(named["test_crashes"], tmp_path) == ("crash of the process", Counts.OURS)
    assert "unclassed" not in classify(named["test_fails_on_a_rank"], tmp_path)
