"""check_range: which numbers a kernel refuses, in which dtypes, shapes and masks; the check is one instruction."""

import numpy as np
import pytest
import triton
import triton.language as tl
from execution import build, run
from reference_interpreter import Fault

from mtia_sim_kernels.triton.checks import check_class, check_index, check_row, check_value

PROBABILITY = tl.constexpr("mtia.check_value probability {value} is not in [0, 1]")


@triton.jit
def copy_checked(x, out, low, size, n, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    value = tl.load(x + lane, mask=lane < n, other=0)
    check_index(value, low, size, 3)
    tl.store(out + lane, value, mask=lane < n)


@triton.jit
def copy_scalar(x, out, size):
    value = tl.load(x)
    check_row(value, size)
    tl.store(out, value)


@triton.jit
def copy_probabilities(x, out, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    value = tl.load(x + lane)
    check_value(value, 0.0, 1.0, PROBABILITY)
    tl.store(out + lane, value)


@triton.jit
def guarded(x, out, classes, BLOCK: tl.constexpr):
    """Only where the condition holds."""
    lane = tl.arange(0, BLOCK)
    value = tl.load(x + lane)
    if classes > 0:
        check_class(value, classes)
    tl.store(out + lane, value)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
@pytest.mark.parametrize("low", [0, -7])
def test_indices(dtype, low):
    for wrong in (None, 7, low - 1, 100, -100):
        x = np.array([0, 6, 3, low, 2, 6, 0, 5, 1, 1], dtype)
        if wrong is not None:
            x[7] = wrong
        arguments = {"x": x, "out": np.zeros(10, dtype), "low": low, "size": 7, "n": 10}
        if wrong is None:
            np.testing.assert_array_equal(run(copy_checked, arguments, {"BLOCK": 16})["out"], x)
        else:
            with pytest.raises(Fault, match=rf"is out of bounds.*: {wrong}$"):
                run(copy_checked, arguments, {"BLOCK": 16})
    names = [item.mnemonic for item in build(copy_checked, arguments, {"BLOCK": 16}).instructions]
    assert names.count("check_range") == 1
    assert "compare_i" not in names and "assert_" not in names


def test_scalars_and_branches():
    for value, size in ((0, 1), (3, 4)):
        x = np.array([value], np.int64)
        assert run(copy_scalar, {"x": x, "out": np.zeros(1, np.int64), "size": size}, {})["out"][0] == value
    for value in (-1, 4):
        with pytest.raises(Fault, match="is out of range"):
            run(copy_scalar, {"x": np.array([value]), "out": np.zeros(1, np.int64), "size": 4}, {})
    x = np.array([0, 9, 1, 2], np.int64)
    arguments = {"x": x, "out": np.zeros(4, np.int64), "classes": 0}
    np.testing.assert_array_equal(run(guarded, arguments, {"BLOCK": 4})["out"], x)
    with pytest.raises(Fault, match="target"):
        run(guarded, {**arguments, "classes": 9}, {"BLOCK": 4})


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_values(dtype):
    for wrong in (None, -0.5, 1.5, np.nan, np.inf):
        x = np.linspace(0, 1, 16).astype(dtype)
        if wrong is not None:
            x[11] = wrong
        arguments = {"x": x, "out": np.zeros(16, dtype)}
        if wrong is None:
            np.testing.assert_array_equal(run(copy_probabilities, arguments, {"BLOCK": 16})["out"], x)
        else:
            with pytest.raises(Fault, match=r"is not in \[0, 1\]"):
                run(copy_probabilities, arguments, {"BLOCK": 16})
