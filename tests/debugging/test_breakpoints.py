"""Breakpoints in Triton kernels: what a stopped program shows, and how it goes on."""

import inspect
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import triton
import triton.language as tl

from mtia_core.errors import InvalidArgument, LaunchFailure


@triton.jit
def row_norm(out, source, columns, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    place = tl.arange(0, BLOCK)
    x = tl.load(source + row * columns + place, mask=place < columns, other=0.0)
    total = tl.zeros((BLOCK,), tl.float32)
    for step in range(3):
        scaled = x.to(tl.float32) * (step + 1)
        total += scaled * scaled
    norm = tl.sqrt(tl.sum(total, 0))
    tl.store(out + row * columns + place, (x / norm).to(out.dtype.element_ty), mask=place < columns)


def line_of(text: str) -> int:
    lines, first = inspect.getsourcelines(row_norm.fn)
    return first + next(number for number, line in enumerate(lines) if text in line)


def launch(device: torch.device, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    source = torch.randn(5, 100).to(dtype)
    out = torch.full((5, 100), 3.0, dtype=dtype).to(device)
    row_norm[(5,)](out, source.to(device), 100, BLOCK=128)
    return source, out.cpu()


def expected(source: torch.Tensor) -> torch.Tensor:
    wide = source.double()
    return wide / (14 * wide.square().sum(1, keepdim=True)).sqrt()


def test_tiles_are_numpy_arrays_by_the_names_of_the_source(device: torch.device) -> None:
    stops: list[Any] = []
    with torch.mtia_sim.breakpoint_at(row_norm, "total += scaled", lambda stop: stops.append(stop), program=3):
        source, out = launch(device)
    assert len(stops) == 3 and [stop.hit for stop in stops] == [1, 2, 3]
    row = np.zeros(128, np.float32)
    row[:100] = source[3].numpy()
    for number, stop in enumerate(stops):
        assert (stop.kernel, stop.program, stop.grid) == ("row_norm", (3, 0, 0), (5, 1, 1))
        assert stop.line == line_of("total += scaled") and stop.source.strip() == "total += scaled * scaled"
        np.testing.assert_array_equal(stop["x"], row)
        np.testing.assert_array_equal(stop["scaled"], row * np.float32(number + 1))
        np.testing.assert_allclose(
            stop["total"], sum((row * k) ** 2 for k in range(1, number + 1)) + np.zeros(128), rtol=1e-6
        )
        assert stop["columns"] == 100 and stop.dtype("source") == "pointer"
        assert set(stop.tiles) <= set(stop) and "norm" not in stop
    torch.testing.assert_close(out.double(), expected(source), rtol=1e-5, atol=1e-6)


def test_bfloat16_has_its_values_and_its_bits(device: torch.device) -> None:
    stops: list[Any] = []
    with torch.mtia_sim.breakpoint_at(row_norm, line_of("scaled ="), lambda stop: stops.append(stop) or "finish"):
        source, _ = launch(device, torch.bfloat16)
    [stop] = stops
    np.testing.assert_array_equal(stop["x"].astype(np.float32)[:100], source[0].float().numpy())
    np.testing.assert_array_equal(stop.bits("x")[:100], source[0].view(torch.int16).numpy().view(np.uint16))
    assert stop.dtype("x") == "bf16"


def test_every_program_and_stepping_by_lines_and_instructions(device: torch.device) -> None:
    programs: list[Any] = []
    with torch.mtia_sim.breakpoint_at(
        row_norm, "norm = tl.sqrt", lambda stop: programs.append(stop.program), program=None
    ):
        launch(device)
    assert sorted(set(programs)) == [(x, 0, 0) for x in range(5)]

    stops: list[Any] = []

    def walk(stop: Any) -> str:
        stops.append(stop)
        return "next"

    with torch.mtia_sim.breakpoint_at(row_norm, "norm = tl.sqrt", walk):
        source, _ = launch(device)
    lines = [stop.line for stop in stops]
    assert lines[0] == line_of("norm = tl.sqrt") and lines[-1] == line_of("tl.store")
    wide = source[0].double()
    assert stops[-1]["norm"] == pytest.approx((14 * wide.square().sum()).sqrt().item(), rel=1e-5)

    instructions: list[int] = []

    def step(stop: Any) -> str:
        instructions.append(stop.instruction)
        return "step"

    with torch.mtia_sim.breakpoint_at(row_norm, "norm = tl.sqrt", step):
        launch(device)
    assert len(instructions) >= 4 and instructions == sorted(instructions)


def test_what_the_callback_raises_is_raised_by_the_launch(device: torch.device) -> None:
    class Found(Exception):
        pass

    def check(stop: Any) -> None:
        if stop.program == (2, 0, 0):
            raise Found(f"norm of row 2: {stop['x'].sum()}")

    with (
        pytest.raises(Found, match="norm of row 2"),
        torch.mtia_sim.breakpoint_at(row_norm, "norm = tl.sqrt", check, program=None),
    ):
        launch(device)
    source, out = launch(device)
    torch.testing.assert_close(out.double(), expected(source), rtol=1e-5, atol=1e-6)


def test_a_name_that_is_not_there_says_what_is(device: torch.device) -> None:
    errors: list[str] = []

    def check(stop: Any) -> None:
        with pytest.raises(KeyError) as caught:
            stop["place"]
        errors.append(str(caught.value))

    with torch.mtia_sim.breakpoint_at(row_norm, "norm = tl.sqrt", check):
        launch(device)
    assert "became part of an address" in errors[0] and "columns" in errors[0]


def test_the_kernels_of_operators_stop_too(device: torch.device) -> None:
    from mtia_sim_kernels.triton import softmax

    source = Path(str(inspect.getsourcefile(softmax))).read_text().splitlines()
    lines = [number for number, line in enumerate(source, 1) if "tl.exp" in line]
    stops: list[Any] = []
    for line in lines:
        try:
            with torch.mtia_sim.breakpoint_at("triton/softmax.py", line, lambda stop: stops.append(stop) or "finish"):
                torch.randn(4, 64).to(device).softmax(-1)
        except InvalidArgument:
            continue
    assert stops and all(stop.file.endswith("softmax.py") for stop in stops)


def test_the_prompt(device: torch.device, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    commands = "variables\np x.shape, columns\nwhere\nlist\nnonsense(\nn\nc\n"
    monkeypatch.setattr(sys, "stdin", io.StringIO(commands))
    with torch.mtia_sim.breakpoint_at(row_norm, "norm = tl.sqrt"):
        launch(device)
    text = capsys.readouterr().out
    assert "row_norm, program (0, 0, 0)" in text and "norm = tl.sqrt(tl.sum(total, 0))" in text
    assert "x: 128xf32" in text and "columns: i32 = 100" in text and "((128,), 100)" in text
    assert "SyntaxError" in text and "-> tl.store" in text
    monkeypatch.setattr(sys, "stdin", io.StringIO("q\n"))
    with pytest.raises(LaunchFailure, match="ended at a breakpoint"), torch.mtia_sim.breakpoint_at(row_norm, "norm ="):
        launch(device)


def test_places_that_do_not_exist_are_refused(device: torch.device) -> None:
    with pytest.raises(InvalidArgument, match="0 lines of row_norm hold"):
        torch.mtia_sim.breakpoint_at(row_norm, "no such text")
    with pytest.raises(InvalidArgument, match="not 1;"):
        torch.mtia_sim.breakpoint_at(row_norm, 1)
    with pytest.raises(InvalidArgument, match="no Triton kernel"):
        torch.mtia_sim.breakpoint_at(3, 1)
    with pytest.raises(InvalidArgument, match="no launched kernel"), torch.mtia_sim.breakpoint_at("elsewhere.py", 5):
        launch(device)
