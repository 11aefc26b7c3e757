"""A few random kernels of each run's own fixed seeds; `python -m tests.fuzz --cases 10000` runs many."""

import numpy as np
import pytest

from tests.fuzz.__main__ import case_seed, run_case
from tests.fuzz.checking import Checker, defined, differs
from tests.fuzz.kernel import ttir
from tests.fuzz.semantics import round_bf16
from tests.fuzz.statements import make_kernel
from triton_mtia_sim.strips.splitting import Strips

SEED = 20261122


@pytest.fixture(scope="module")
def checker(tmp_path_factory):
    return Checker(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_random_kernels_agree_with_numpy(checker, first):
    for case in range(first, first + 50):
        difference, _ = run_case(checker, SEED, case)
        assert difference is None, f"python -m tests.fuzz --seed {SEED} --first {case} --cases 1: {difference}"


@pytest.mark.parametrize(("count", "reload"), [(4, False), (2, True)])
def test_random_kernels_in_strips_agree_with_numpy(tmp_path, count, reload):
    checker = Checker(tmp_path, strips=Strips(count, reload, least=2))
    options = f"--strips {count}{' --reload' * reload}"
    for case in range(50):
        difference, _ = run_case(checker, SEED, case)
        assert difference is None, (
            f"python -m tests.fuzz --seed {SEED} --first {case} --cases 1 {options}: {difference}"
        )


def test_a_case_is_always_the_same_kernel():
    for case in range(5):
        assert ttir(make_kernel(case_seed(1, case))) == ttir(make_kernel(case_seed(1, case)))


def test_a_wrong_result_is_found(checker, monkeypatch):
    """Each byte that a store leaves differs from what was there, so that a store that does nothing is seen."""
    found = 0
    for case in range(0, 20, 2):
        kernel = make_kernel(case_seed(SEED, case))
        defined(kernel)
        monkeypatch.setattr(checker.extension, "run_program", lambda *arguments: None, raising=True)
        difference = checker.check(kernel, False, case)
        found += difference is not None and difference.kind == "value"
    assert found >= 5


def test_rounding_to_bfloat16_rounds_once():
    exact = np.array([1 + 2**-8, 1 + 2**-8 + 2**-40, 1 + 3 * 2**-8, np.inf, np.nan, -0.0], np.float64)
    expected = np.array([1.0, 1 + 2**-7, 1 + 2**-6, np.inf, np.nan, -0.0], np.float32)
    np.testing.assert_array_equal(round_bf16(exact), expected)


def test_bounds_of_inexact_results():
    expected = np.array([1.0, np.nan, np.inf, 2.0], np.float32)
    found = np.array([1.0001, np.nan, 3.0, 2.1], np.float32)
    bound = np.array([0.001, 0.0, np.inf, 0.01])
    np.testing.assert_array_equal(differs(expected, found, bound, "f32"), [False, False, False, True])
