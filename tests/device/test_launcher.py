"""The launcher of Triton kernels: packing of every kind of argument, grids, hooks, streams, and what it refuses."""

import numpy as np
import pytest
import torch
import triton
import triton.language as tl

from mtia_core import errors
from mtia_sim import _C


@triton.jit
def store_integers(target, a, b, c):
    tl.store(target, a)
    tl.store(target + 1, b)
    tl.store(target + 2, c)


@triton.jit
def store_float(target, value):
    tl.store(target, value)


@triton.jit
def count_programs(target):
    place = tl.program_id(0) + tl.num_programs(0) * (tl.program_id(1) + tl.num_programs(1) * tl.program_id(2))
    tl.store(target + place, place + 1)


@triton.jit
def store_pair(target, pair):
    tl.store(target, pair[0])
    tl.store(target + 1, pair[1])


def integers(count: int) -> torch.Tensor:
    return torch.zeros(count, dtype=torch.int64).to("mtia_sim")


@pytest.mark.parametrize(
    "values", [(1, -1, 2), (2**31 - 1, -(2**31), 0), (2**31, -(2**63), 2**63 - 1), (True, False, 3)]
)
def test_integers(values: tuple[int, int, int]) -> None:
    target = integers(3)
    store_integers[(1,)](target, *values)
    assert target.cpu().tolist() == [int(value) for value in values]


def test_integers_beyond_int64() -> None:
    target = integers(3)
    store_integers[(1,)](target, 2**64 - 1, 2**63, 0)
    assert target.cpu().tolist() == [-1, -(2**63), 0]


@pytest.mark.parametrize("value", [0.1, -3.5e38, float("inf"), float("-inf"), float("nan"), 1e-45])
def test_floats(value: float) -> None:
    target = torch.zeros(1).to("mtia_sim")
    store_float[(1,)](target, value)
    expected = torch.tensor([value], dtype=torch.float32)
    assert torch.equal(target.cpu().nan_to_num(7), expected.nan_to_num(7))


@pytest.mark.parametrize("grid", [(1,), (7,), (3, 2), (2, 3, 4)])
def test_grids(grid: tuple[int, ...]) -> None:
    count = int(np.prod(grid))
    target = integers(count)
    count_programs[grid](target)
    assert target.cpu().tolist() == list(range(1, count + 1))


def test_an_empty_grid_launches_nothing() -> None:
    target = integers(4)
    before = torch.mtia_sim.perf_counters()["launches"]
    count_programs[(0,)](target)
    count_programs[(2, 0)](target)
    assert torch.mtia_sim.perf_counters()["launches"] == before


def test_tuples() -> None:
    target = integers(2)
    store_pair[(1,)](target, (3, 2**40))
    assert target.cpu().tolist() == [3, 2**40]


def test_a_launch_goes_to_the_current_stream() -> None:
    stream = torch.mtia_sim.Stream()
    target = integers(1)
    torch.mtia_sim.synchronize()
    begin, end = (torch.mtia_sim.Event(enable_timing=True) for _ in range(2))
    with torch.mtia_sim.stream(stream):
        begin.record()
        count_programs[(1,)](target)
        end.record()
    end.synchronize()
    assert begin.elapsed_time(end) > 0


def test_a_launch_goes_to_the_current_device() -> None:
    target = torch.zeros(2, dtype=torch.int64).to("mtia_sim:1")
    with torch.mtia_sim.device(1):
        count_programs[(2,)](target)
    assert target.cpu().tolist() == [1, 2]


@pytest.mark.parametrize("codes", ["x", "(i", "i)", "D", "D9"])
def test_wrong_codes_are_refused(codes: str) -> None:
    with pytest.raises(errors.InvalidArgument, match="argument codes"):
        _C.make_launcher(codes)


def test_wrong_calls_are_refused() -> None:
    kernel = count_programs[(1,)](integers(1))
    program = kernel.function
    launcher = _C.make_launcher("P")
    with pytest.raises(ValueError, match="0 kernel arguments instead of 1"):
        launcher(1, 1, 1, 0, program, None, None, None, None)
    with pytest.raises(ValueError, match="grid dimension of -1"):
        launcher(-1, 1, 1, 0, program, None, None, None, None, integers(1))
    with pytest.raises(ValueError, match="pointer argument 0 is a str"):
        launcher(1, 1, 1, 0, program, None, None, None, None, "text")
    with pytest.raises(ValueError, match="stream 999"):
        launcher(1, 1, 1, 999, program, None, None, None, None, integers(1))
    with pytest.raises(TypeError):
        _C.make_launcher("i")(1, 1, 1, 0, program, None, None, None, None, 1.5)


def test_hooks_run_around_the_launch() -> None:
    program = count_programs[(1,)](integers(1)).function
    seen: list[object] = []
    target = integers(1)
    _C.make_launcher("P")(
        1, 1, 1, 0, program, None, "metadata", lambda data: seen.append(("enter", data)), seen.append, target
    )
    assert seen == [("enter", "metadata"), "metadata"]
    assert target.cpu().tolist() == [1]
