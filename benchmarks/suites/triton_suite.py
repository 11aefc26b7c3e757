"""Suite `triton`: a user's kernels against Triton's interpreter, fused attention, and the time of compiling."""

import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as functional

from .kernels import name_of, normal
from .measure import Call, Case, measure
from .plain import PLAIN, SUITE, Plain
from .report import Row

Measured = Iterator[tuple[Row, str]]
FOLDER = Path(__file__).parents[1]
# Batch, heads, length, head size: of the tests and the benchmark of Triton's tutorial 06.
ATTENTION_SHAPES = ((1, 2, 1024, 64), (4, 48, 128, 64), (4, 32, 1024, 64), (1, 2, 4096, 128))


def child(module: str, *arguments: str, **environment: str) -> str:
    """Last word that a module of this folder prints in a process of its own."""
    command = [sys.executable, "-m", f"suites.{module}", *arguments]
    result = subprocess.run(command, cwd=FOLDER, env={**os.environ, **environment}, capture_output=True, text=True)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} in {FOLDER} failed:\n{result.stderr}")
    return result.stdout.splitlines()[-1]


def plain_rows(plain: Plain, device: torch.device, seconds: float, clock: str) -> Measured:
    row, note = measure(plain.case(), device, seconds, clock)
    environment = {"TRITON_INTERPRET": "1", "TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}
    output = child("interpreted", plain.name, str(seconds / 4), clock, **environment)
    interpreter_ms = 1e3 * float(output)
    ratio = interpreter_ms / (row.host_ms or float("nan"))
    yield dataclasses.replace(row, interpreter_ms=interpreter_ms), f"{note}, {ratio:.0f}x Triton's interpreter"


def attention_case(
    dtype: torch.dtype, shape: tuple[int, int, int, int], causal: bool, backward: bool, fused: Callable[..., Any] | None
) -> Case:
    """scaled_dot_product_attention; on the device `fused(q, k, v, causal, scale)` instead where one is given."""
    batch, heads, sequence, dimension = shape
    products = 4 * batch * heads * sequence * sequence * dimension // (2 if causal else 1)

    def build(device: torch.device) -> Call:
        inputs = normal(device, dtype, shape, shape, shape)

        def forward() -> torch.Tensor:
            if fused is not None and device.type != "cpu":
                return fused(*inputs, causal, dimension**-0.5)
            return functional.scaled_dot_product_attention(*inputs, is_causal=causal)

        if not backward:
            return forward
        for tensor in inputs:
            tensor.requires_grad_()
        out = forward()
        (gradient,) = normal(device, dtype, shape)
        return lambda: torch.autograd.grad(out, inputs, gradient, retain_graph=True)

    name = ("attention" if fused is None else "tutorial_06") + ("_backward" if backward else "")
    label = "x".join(map(str, shape)) + (" causal" if causal else "")
    traffic = (8 if backward else 4) * prod(shape) * dtype.itemsize
    return Case(SUITE, name, name_of(dtype), label, build, products * 5 // 2 if backward else products, traffic)


def attention_cases(tutorials: Path | None) -> Iterator[Case]:
    kinds: list[Callable[..., Any] | None] = [None]
    if tutorials is not None:
        from .tutorials import load_tutorial

        attention = load_tutorial(tutorials, "06").attention
        kinds.append(lambda q, k, v, causal, scale: attention(q, k, v, causal, scale, False))
    for fused in kinds:
        for backward in (False, True):
            for dtype in (torch.float16, torch.bfloat16):
                # The tutorial's kernel writes gradients for float16 alone.
                if fused is None or dtype is torch.float16:
                    for shape in ATTENTION_SHAPES:
                        for causal in (False, True):
                            yield attention_case(dtype, shape, causal, backward, fused)


def compile_rows(device: torch.device, tutorials: Path | None, clock: str) -> Measured:
    """Nothing cached: time from the kernel's source to a stored program, as Triton's own listener reports it."""
    with tempfile.TemporaryDirectory() as cache:
        arguments = [str(device), clock, *([] if tutorials is None else [str(tutorials)])]
        report = json.loads(child("compile_times", *arguments, TRITON_CACHE_DIR=cache))
    times = sorted(report["kernels"], key=lambda each: each["ms"])
    stages = ", ".join(f"{name} {statistics.median(each[name] for each in times):.1f}" for name in ("ttir", "program"))
    slowest = f"slowest {times[-1]['name']} {times[-1]['ms']:.0f} ms"
    median = statistics.median(each["ms"] for each in times)
    yield Row(SUITE, "compile_median", "-", f"{len(times)} kernels", median), f"of them {stages} ms; {slowest}"
    largest = report["largest"]
    note = f"Triton's front end and passes {largest['ttir']:.0f} ms, the program {largest['program']:.0f} ms"
    yield Row(SUITE, "compile_largest", "-", f"{largest['lines']} lines of TTIR", largest["ms"]), note


def measurements(
    device: torch.device, tutorials: Path | None, seconds: float, clock: str
) -> Iterator[tuple[str, Callable[[], Measured]]]:
    """Names of the suite's measurements, and calls that give their rows."""
    for plain in PLAIN.values():
        yield plain.name, partial(plain_rows, plain, device, seconds, clock)
    for case in attention_cases(tutorials):
        yield case.name, partial(lambda case: iter([measure(case, device, seconds, clock)]), case)
    yield "compile", partial(compile_rows, device, tutorials, clock)
