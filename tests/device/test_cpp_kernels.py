"""C++ kernels from their sources: compile, launch, compare with torch, and fail by name."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from mtia_core import errors
from mtia_sim.cpp_compiler import compile_kernel
from tests.source_tree import ROOT

KERNELS = Path(__file__).parent / "cpp_kernels"
SCALED_ADD = ROOT / "examples" / "cpp" / "scaled_add.cpp"


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache for the tests of this file: a source is compiled once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MTIA_SIM_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


def load(file: str, name: str | None = None):
    return torch.mtia_sim.load_kernel(KERNELS / file, name=name)


def line_of(file: str, text: str) -> str:
    lines = (KERNELS / file).read_text().splitlines()
    return f"{file}:{next(number for number, line in enumerate(lines, 1) if text in line)}"


@pytest.mark.parametrize("elements", [1, 4095, 4096, 123457])
@pytest.mark.parametrize("grid", [(), 1, (7,), (2, 3)])
def test_scaled_add(elements: int, grid: int | tuple[int, ...]) -> None:
    x, y = torch.randn(elements), torch.randn(elements)
    out = torch.full((elements,), 7.0, device="mtia_sim")
    torch.mtia_sim.load_kernel(SCALED_ADD)[grid](x.to("mtia_sim"), y.to("mtia_sim"), out, 0.5)
    torch.testing.assert_close(out.cpu(), x + 0.5 * y)


def test_arguments_by_name_views_and_streams() -> None:
    x, y = torch.randn(50, 40), torch.randn(2000)
    kernel = torch.mtia_sim.load_kernel(SCALED_ADD)
    device_x, device_y = x.to("mtia_sim"), y.to("mtia_sim")
    out = torch.zeros(50, device="mtia_sim")
    stream = torch.mtia_sim.Stream()
    stream.wait_stream(torch.mtia_sim.current_stream())
    with torch.mtia_sim.stream(stream):
        kernel[()](scale=2.0, x=device_x[:, 3], y=device_y[100:150], out=out)
    stream.synchronize()
    torch.testing.assert_close(out.cpu(), x[:, 3] + 2 * y[100:150])
    clone = torch._lazy_clone(out)
    kernel[()](scale=1.0, x=clone, y=clone, out=clone)
    torch.testing.assert_close(clone.cpu(), 2 * out.cpu())


@pytest.mark.parametrize("shape", [(128, 128, 64), (256, 384, 512), (200, 130, 77), (1, 1, 1), (129, 300, 65)])
@pytest.mark.parametrize("layout", ["nn", "nt", "tn"])
def test_gemm_of_roles(shape: tuple[int, int, int], layout: str) -> None:
    m, n, k = shape
    a, b = torch.randn(m, k).bfloat16(), torch.randn(k, n).bfloat16()
    on_device = [
        (t.t().contiguous().to("mtia_sim").t() if flag == "t" else t.to("mtia_sim"))
        for t, flag in zip((a, b), layout, strict=True)
    ]
    c = torch.full((m, n), float("nan"), dtype=torch.bfloat16, device="mtia_sim")
    load("gemm.cpp")[()](*on_device, c, 0.5)
    torch.testing.assert_close(c.cpu().float(), 0.5 * (a.float() @ b.float()), atol=2e-2, rtol=1e-2)


def test_gemm_without_inner_size_is_zero() -> None:
    c = torch.full((40, 50), float("nan"), dtype=torch.bfloat16, device="mtia_sim")
    a, b = torch.empty(40, 0), torch.empty(0, 50)
    load("gemm.cpp")[()](a.bfloat16().to("mtia_sim"), b.bfloat16().to("mtia_sim"), c, 1.0)
    assert torch.equal(c.cpu(), torch.zeros(40, 50, dtype=torch.bfloat16))


TABLES = [torch.exp, torch.log, torch.sigmoid, torch.tanh, torch.nn.functional.gelu, torch.sqrt]


@pytest.mark.parametrize("number", range(len(TABLES)))
def test_tables(number: int) -> None:
    x = torch.rand(13, 29) * 4
    out = torch.full((13, 29), 7.0, device="mtia_sim")
    load("units.cpp", "tables")[1](x.to("mtia_sim"), out, number)
    torch.testing.assert_close(out.cpu(), TABLES[number](x), atol=2e-6, rtol=2e-6)


def test_softmax() -> None:
    x = torch.randn(101, 77) * 5
    out = torch.full((101, 77), 7.0, device="mtia_sim")
    load("units.cpp", "softmax")[()](x.to("mtia_sim"), out)
    torch.testing.assert_close(out.cpu(), torch.softmax(x, 1), atol=1e-6, rtol=1e-5)


def test_gather_and_scatter_add() -> None:
    table, indices = torch.randn(64, 48), torch.randint(0, 64, (40,))
    out = torch.full((40, 48), 7.0, device="mtia_sim")
    load("units.cpp", "gather")[3](table.to("mtia_sim"), indices.to("mtia_sim"), out)
    assert torch.equal(out.cpu(), table[indices])
    sums = torch.zeros(64, 48, device="mtia_sim")
    load("units.cpp", "scatter_add")[1](table[:40].contiguous().to("mtia_sim"), indices.to("mtia_sim"), sums)
    torch.testing.assert_close(sums.cpu(), torch.zeros(64, 48).index_add(0, indices, table[:40]))


def test_gather_outside_of_the_table() -> None:
    out = torch.zeros(8, 48, device="mtia_sim")
    indices = torch.tensor([0, 1, 2, 3, 64, 5, 6, 7]).to("mtia_sim")
    load("units.cpp", "gather")[1](torch.zeros(64, 48, device="mtia_sim"), indices, out)
    with pytest.raises(errors.OutOfBounds, match=r"gather, role gather_rows on PE 0, units.cpp:\d+: index 64 of row 4"):
        torch.mtia_sim.synchronize()


def test_layout_of_integers() -> None:
    x = torch.randint(-100, 100, (16, 24), dtype=torch.int32)
    out = torch.zeros(24, 16, dtype=torch.int32, device="mtia_sim")
    load("units.cpp", "transposes")[1](x.to("mtia_sim"), out)
    flat = (x.t().reshape(12, 32) + 5).contiguous()
    flat[:4] = torch.maximum(flat[4:8], flat[8:])
    assert torch.equal(out.cpu(), flat.reshape(24, 16))


def test_select() -> None:
    x = torch.randint(0, 100, (16, 24), dtype=torch.int32)
    out = torch.zeros(16, 24, dtype=torch.int32, device="mtia_sim")
    load("units.cpp", "selects")[1](x.to("mtia_sim"), out)
    assert torch.equal(out.cpu(), torch.where(x % 2 == 1, x, -1))


def test_a_loaded_page_outlives_stores_to_its_source() -> None:
    x = torch.randn(128)
    on_device = x.to("mtia_sim")
    load("units.cpp", "swaps")[1](on_device)
    assert torch.equal(on_device.cpu(), torch.cat([x[64:], x[:64]]))


# ---- failures: the kernel, the role, the PE and the line, and a device that goes on


def check_device_works() -> None:
    x = torch.randn(1000)
    assert torch.equal((x.to("mtia_sim") * 2).cpu(), x * 2)


FAULTS = [
    ("out_of_bounds", 8, errors.OutOfBounds, "role read_past_the_end on PE 0", "// past the end"),
    ("negative", 0, errors.OutOfBounds, r"begins at \(0, -1\)", "// negative"),
    ("out_of_local_memory", 0, errors.OutOfLocalMemory, "allocate outside of loops", "// too much"),
    ("stale_tile", 0, errors.Undefined, "after its window ended", "// use after"),
    ("wrong_page_count", 2, errors.InvalidArgument, "reserve of 3 pages of circular buffer pages", "// too many"),
    ("slice_outside", 6, errors.InvalidArgument, "mtia_rule_slice_must_lie_inside_its_tile", "// slice"),
    ("polls", 0, errors.Deadlock, "goes on without end", None),
    ("spins", 1, errors.Deadlock, "goes on without end", "pe.scalar_work(1)"),
    ("throws_its_own", 0, errors.LaunchFailure, "role throws on PE 0", None),
    ("writes_nowhere", 0, errors.LaunchFailure, "writes to the host's address 0xc", "// nowhere"),
    ("reads_nowhere", 0, errors.LaunchFailure, "role fall_while_one_waits .*reads the host's address 0x14", "// read"),
    ("fills_nowhere", 4096, errors.LaunchFailure, "writes to the host's address 0x", "// library"),
    ("calls_nothing", 0, errors.LaunchFailure, "reads the host's address 0x0", "// call"),
    ("divides_by_zero", 0, errors.LaunchFailure, "an integer is divided by zero", "// divide"),
    ("recurses", 1 << 40, errors.LaunchFailure, "stack is full: it has 256 KiB", None),
    ("large_array", 77, errors.LaunchFailure, "stack is full: it has 256 KiB", None),
    ("waits_in_constructor", 0, errors.InvalidArgument, "the constructor of what the roles share waits", None),
    ("endless_constructor", 0, errors.Deadlock, "goes on without end", None),
    ("aborts", 3, errors.LaunchFailure, r"calls abort\(\)", "// abort"),
    ("asserts", 8, errors.LaunchFailure, "fails its assertion `arguments.number == 7`", "// assertion"),
    ("terminates", 3, errors.LaunchFailure, r"calls std::terminate\(\)", "// terminate"),
    ("sum_outside_of_its_page", 17, errors.OutOfBounds, "17 x 16 elements .* in a page of 16 x 16", "// larger"),
]


@pytest.mark.finds
@pytest.mark.parametrize(("name", "number", "error", "text", "marker"), FAULTS, ids=[row[0] for row in FAULTS])
def test_faults_name_their_line(name: str, number: int, error: type[Exception], text: str, marker: str | None) -> None:
    x = torch.zeros(192, device="mtia_sim")
    begin = time.monotonic()
    load("faults.cpp", name)[()](x, number)
    with pytest.raises(error, match=text) as raised:
        torch.mtia_sim.synchronize()
    assert time.monotonic() - begin < 30
    assert f"kernel {name}" in str(raised.value)
    if marker == "pe.scalar_work(1)":
        assert "role spin on PE 0, faults.cpp" in str(raised.value)
    elif marker is not None:
        assert line_of("faults.cpp", marker) in str(raised.value)
    check_device_works()


def test_a_signal_that_no_kernel_raised_ends_the_process_as_before() -> None:
    script = (
        "import ctypes, torch\n"
        f"kernel = torch.mtia_sim.load_kernel({str(KERNELS / 'faults.cpp')!r}, name='writes_nowhere')\n"
        "x = torch.zeros(192, device='mtia_sim')\n"
        "try:\n"
        "    kernel[()](x, 0)\n"
        "    torch.mtia_sim.synchronize()\n"
        "except RuntimeError:\n"
        "    print('caught', flush=True)\n"
        "ctypes.string_at(8)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert run.stdout == "caught\n" and run.returncode == -signal.SIGSEGV, run.stderr


@pytest.mark.parametrize("before", ["faulthandler.enable()", "pass"])
@pytest.mark.parametrize("after", ["faulthandler.enable()", "faulthandler.disable()"])
def test_faulthandler_may_come_and_go(before: str, after: str) -> None:
    """It puts its own handler in front of the kernels', or the one that it found at first back."""
    script = f"""import ctypes, faulthandler, torch
{before}
kernel = torch.mtia_sim.load_kernel({str(KERNELS / "faults.cpp")!r}, name="writes_nowhere")
x = torch.zeros(192, device="mtia_sim")
for step in range(2):
    {after}
    try:
        kernel[()](x, 0)
        torch.mtia_sim.synchronize()
    except RuntimeError as error:
        print("writes to" in str(error), flush=True)
ctypes.string_at(8)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert run.stdout == "True\nTrue\n" and run.returncode == -signal.SIGSEGV, run.stderr
    assert ("Fatal Python error" in run.stderr) == ("enable" in after), run.stderr


def test_an_abort_of_the_program_ends_the_process() -> None:
    script = (
        "import os, torch\n"
        f"kernel = torch.mtia_sim.load_kernel({str(KERNELS / 'faults.cpp')!r}, name='aborts')\n"
        "x = torch.zeros(192, device='mtia_sim')\n"
        "try:\n"
        "    kernel[()](x, 0)\n"
        "    torch.mtia_sim.synchronize()\n"
        "except RuntimeError:\n"
        "    print('caught', flush=True)\n"
        "os.abort()\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert run.stdout == "caught\n" and run.returncode == -signal.SIGABRT, run.stderr


def test_a_consumer_that_waits_for_ever_is_a_deadlock() -> None:
    x = torch.zeros(512, device="mtia_sim")
    load("faults.cpp", "unbalanced")[1](x, 4)
    with pytest.raises(errors.Deadlock) as raised:
        torch.mtia_sim.synchronize()
    text = str(raised.value)
    assert "role consume on PE 0" in text and line_of("faults.cpp", "// consume") in text
    assert "front of 1 page of circular buffer pages: 0 of 2 pages pushed" in text
    assert "role produce has ended" in text and "pe.store(arguments.x.at(64 * i)" in text
    check_device_works()


def test_a_producer_that_waits_for_ever_is_a_deadlock() -> None:
    x = torch.zeros(512, device="mtia_sim")
    load("faults.cpp", "unbalanced")[()](x, 0)
    with pytest.raises(errors.Deadlock, match="reserve of 1 page of circular buffer pages: 2 of 2 pages pushed"):
        torch.mtia_sim.synchronize()
    check_device_works()


def test_pages_that_nobody_consumed() -> None:
    x = torch.zeros(512, device="mtia_sim")
    load("faults.cpp", "unbalanced")[1](x, 2)  # two would store to the same elements
    with pytest.raises(errors.Undefined, match="circular buffer pages ends with 1 page that nobody consumed") as raised:
        torch.mtia_sim.synchronize()
    assert line_of("faults.cpp", "// produce") in str(raised.value)
    check_device_works()


def test_what_the_launch_refuses() -> None:
    kernel = torch.mtia_sim.load_kernel(SCALED_ADD)
    x = torch.zeros(10, device="mtia_sim")
    with pytest.raises(errors.InvalidArgument, match="argument y holds Double, the kernel takes f32"):
        kernel[1](x, x.double(), x, 1.0)
    with pytest.raises(errors.InvalidArgument, match="argument out has 2 dimensions, the kernel takes 1"):
        kernel[1](x, x, x.view(2, 5), 1.0)
    with pytest.raises(errors.InvalidArgument, match="argument x is a tensor on cpu"):
        kernel[1](torch.zeros(10), x, x, 1.0)
    with pytest.raises(errors.InvalidArgument, match=r"argument y is None; pass .* torch.empty\(\(0,\)"):
        kernel[1](x, None, x, 1.0)
    with pytest.raises(errors.InvalidArgument, match="scaled_add: argument scale is a str; pass a number"):
        kernel[1](x, x, x, "half")
    with pytest.raises(errors.InvalidArgument, match="it takes x, y, out, scale"):
        kernel[1](x, x)
    with pytest.raises(errors.InvalidArgument, match="a grid of"):
        kernel[0](x, x, x, 1.0)
    kernel[5000](x, x, x, 1.0)
    with pytest.raises(errors.InvalidArgument, match="a grid of 5000 PEs"):
        torch.mtia_sim.synchronize()
    with pytest.raises(errors.InvalidArgument, match="has the kernels unbalanced, out_of_bounds"):
        load("faults.cpp")


# ---- compiling


def test_a_broken_source_shows_the_compilers_text(tmp_path: Path) -> None:
    source = tmp_path / "broken.cpp"
    source.write_text("#include <mtia/kernel.h>\nvoid kernel( {}\n")
    with pytest.raises(errors.InvalidProgram, match=r"broken.cpp does not compile with|broken.cpp:2"):
        torch.mtia_sim.load_kernel(source)


def test_warnings_are_shown_each_time(tmp_path: Path) -> None:
    source = tmp_path / "unused.cpp"
    source.write_text(
        "#include <mtia/kernel.h>\nvoid role(mtia::ProcessingElement&) { int unused = 1; }\nMTIA_KERNEL(k, role);\n"
    )
    for _ in range(2):
        with pytest.warns(RuntimeWarning, match="unused variable"):
            torch.mtia_sim.load_kernel(source)


@pytest.mark.parametrize("name", ["plain", "with blanks, #1 and $HOME"])
def test_the_cache_follows_included_files(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "value.h").write_text("#pragma once\ninline constexpr float value = 1;\n")
    source = folder / "constant.cpp"
    source.write_text(
        '#include <mtia/kernel.h>\n#include "value.h"\nusing namespace mtia;\n'
        "struct Arguments { Tensor<float, 1> out; };\nMTIA_ARGUMENTS(Arguments, out);\n"
        "void role(ProcessingElement& pe, const Arguments& arguments) {\n"
        "  auto tile = pe.allocate<Tile<float, 1, 8>>();\n  pe.fill(tile, value);\n"
        "  pe.store(arguments.out.at(0), tile);\n}\nMTIA_KERNEL(constant, role);\n"
    )
    out = torch.zeros(8, device="mtia_sim")
    torch.mtia_sim.load_kernel(source)[1](out)
    assert out.cpu().tolist() == [1.0] * 8
    compiled = compile_kernel(source)
    changed = compiled.stat().st_mtime_ns
    assert compile_kernel(source) == compiled and compiled.stat().st_mtime_ns == changed
    (folder / "value.h").write_text("#pragma once\ninline constexpr float value = 2;\n")
    torch.mtia_sim.load_kernel(source)[1](out)
    assert out.cpu().tolist() == [2.0] * 8


def test_numbers_reach_the_kernel_in_their_type(tmp_path: Path) -> None:
    source = tmp_path / "numbers.cpp"
    source.write_text(
        "#include <mtia/kernel.h>\nusing namespace mtia;\n"
        "struct Arguments { int8_t a; uint16_t b; int64_t c; uint64_t d; double e; bool f; Tensor<double, 1> out; };\n"
        "MTIA_ARGUMENTS(Arguments, a, b, c, d, e, f, out);\n"
        "void role(ProcessingElement& pe, const Arguments& x) {\n"
        "  auto tile = pe.allocate<Tile<double, 1, 1>>();\n"
        "  const double values[] = {double(x.a), double(x.b), double(x.c), double(x.d), x.e, double(x.f)};\n"
        "  for (int i = 0; i < 6; ++i) {\n    pe.fill(tile, values[i]);\n    pe.store(x.out.at(i), tile);\n  }\n}\n"
        "MTIA_KERNEL(numbers, role);\n"
    )
    kernel = torch.mtia_sim.load_kernel(source)
    out = torch.zeros(6, dtype=torch.float64, device="mtia_sim")
    kernel[1](-128, 65535, -(2**63), 2**64 - 2**12, 0.1, True, out)
    assert np.array_equal(out.cpu().numpy(), [-128, 65535, -(2.0**63), 2.0**64 - 2**12, 0.1, 1])
    with pytest.raises(errors.InvalidArgument, match="argument a is 128, which 8 bits do not hold"):
        kernel[1](128, 0, 0, 0, 0.0, False, out)
    with pytest.raises(errors.InvalidArgument, match="argument b is -1"):
        kernel[1](0, -1, 0, 0, 0.0, False, out)
