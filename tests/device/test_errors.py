"""What goes wrong is a clear Python exception with the remedy, after which the device works."""

import os
import textwrap
from pathlib import Path

import pytest
import torch
import triton
import triton.language as tl

from mtia_core import errors
from mtia_sim import _C
from tests.device.subprocesses import run, run_successfully


@triton.jit
def add_one(source, target, count, BLOCK: tl.constexpr):
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(target + place, tl.load(source + place, place < count) + 1, place < count)


@triton.jit
def fade(earlier, later):
    return earlier * 0.5 + later


@triton.jit
def too_large(source, target, BLOCK: tl.constexpr):
    rows = tl.arange(0, BLOCK)[:, None] * BLOCK + tl.arange(0, BLOCK)[None, :]
    values = tl.load(source + rows)
    tl.store(target + rows, tl.associative_scan(values, 0, fade))


@pytest.fixture(autouse=True)
def device_works_afterwards(device: torch.device) -> object:
    yield
    values = torch.randn(1000)
    source = values.to(device)
    target = torch.full((1000,), float("nan")).to(device)
    add_one[(4,)](source, target, 1000, BLOCK=256)
    assert torch.equal(target.cpu(), values + 1)


@pytest.mark.finds
def test_out_of_bounds_in_a_kernel_names_kernel_program_pe_and_line(device: torch.device) -> None:
    source = torch.randn(1000).to(device)
    target = torch.empty(1000, device=device)
    add_one[(5,)](source, target, 1200, BLOCK=256)
    with pytest.raises(errors.OutOfBounds, match=r"add_one.*program \(3, 0, 0\).*PE \d+.*test_errors\.py:\d+"):
        torch.mtia_sim.synchronize()
    torch.mtia_sim.synchronize()  # reported once


@pytest.mark.finds
@pytest.mark.parametrize("wait", ["item", "cpu", "stream", "event", "device"])
def test_every_synchronising_call_reports(device: torch.device, wait: str) -> None:
    source = torch.randn(100).to(device)
    target = torch.empty(100, device=device)
    add_one[(1,)](source, target, 256, BLOCK=256)
    event = torch.Event(device)
    event.record()
    calls = {
        "item": lambda: source[0].item(),
        "cpu": lambda: source.cpu(),
        "stream": lambda: torch.mtia_sim.current_stream().synchronize(),
        "event": event.synchronize,
        "device": torch.accelerator.synchronize,
    }
    with pytest.raises(IndexError, match="add_one"):
        calls[wait]()


def test_out_of_device_memory_in_the_middle_of_work(device: torch.device) -> None:
    kept = torch.randn(1000).to(device)
    expected = kept.cpu()
    with pytest.raises(torch.OutOfMemoryError, match=r"out of memory: tried to allocate .*Use a smaller batch"):
        torch.empty(torch.mtia_sim.mem_get_info()[0] * 2, dtype=torch.uint8, device=device)
    assert torch.equal(kept.cpu(), expected)


def test_a_kernel_beyond_local_memory_is_refused_at_compile_time(device: torch.device) -> None:
    source = torch.randn(1024, 1024).to(device)
    with pytest.raises(
        triton.runtime.errors.OutOfResources, match=r"needs \d+ KiB of local memory, a PE of .* has \d+ KiB"
    ):
        too_large[(1,)](source, torch.empty_like(source), BLOCK=1024)


@pytest.mark.parametrize("dtype", [torch.quint8, torch.float8_e4m3fnuz])
def test_a_wrong_dtype(device: torch.device, dtype: torch.dtype) -> None:
    with pytest.raises((NotImplementedError, RuntimeError, TypeError)) as caught:
        torch.empty(4, device=device, dtype=dtype) + torch.empty(4, device=device, dtype=dtype)
    assert str(caught.value)


def test_mixed_devices(device: torch.device) -> None:
    on_device, on_host = torch.randn(4).to(device), torch.randn(4)
    for operation in (torch.add, torch.matmul, torch.maximum):
        with pytest.raises((RuntimeError, ValueError), match=r"cpu"):
            operation(on_device, on_host)
    with pytest.raises((RuntimeError, ValueError), match=r"mtia_sim:1"):
        torch.matmul(on_device, torch.randn(4).to("mtia_sim:1"))


def test_a_kernel_argument_on_another_device(device: torch.device) -> None:
    source = torch.randn(4).to(device)
    with pytest.raises(ValueError, match=r"pointer argument 1 is a tensor on cpu.*\.to\('mtia_sim:0'\)"):
        add_one[(1,)](source, torch.empty(4), 4, BLOCK=4)
    with pytest.raises(ValueError, match=r"pointer argument 0 is a tensor on mtia_sim:1"):
        add_one[(1,)](source.to("mtia_sim:1"), source, 4, BLOCK=4)


# aten's operators gain kernels; this one of the tests' own has a CPU kernel and no other.
WITHOUT_KERNEL = """
import torch
library = torch.library.Library("mtia_sim_tests", "FRAGMENT")
library.define("halved(Tensor x) -> Tensor")
library.impl("halved", lambda x: x / 2, "CPU")
"""


def test_an_operator_without_a_kernel_names_itself_and_the_remedy() -> None:
    out = run_successfully(
        WITHOUT_KERNEL
        + textwrap.dedent(
            """
            try:
                torch.ops.mtia_sim_tests.halved(torch.ones(2, 2, device="mtia_sim"))
            except NotImplementedError as refused:
                print(refused)
            assert torch.mtia_sim.fallbacks() == {}
            """
        )
    )
    assert "mtia_sim_tests::halved" in out and "Float[2, 2]" in out and "MTIA_SIM_CPU_FALLBACK=1" in out


def test_the_fallback_is_counted_and_warned_of_once_where_it_is_allowed() -> None:
    ended = run(
        WITHOUT_KERNEL
        + textwrap.dedent(
            """
            x = torch.randn(3, 3)
            for _ in range(2):
                half = torch.ops.mtia_sim_tests.halved(x.to("mtia_sim"))
            assert half.device.type == "mtia_sim"
            torch.testing.assert_close(half.cpu(), x / 2)
            print(torch.mtia_sim.fallbacks())
            """
        ),
        MTIA_SIM_CPU_FALLBACK="1",
    )
    assert ended.stdout == "{'mtia_sim_tests::halved': 2}\n", ended.stderr
    assert ended.stderr.count("runs on the CPU (MTIA_SIM_CPU_FALLBACK=1)") == 1


def test_no_fallback_unless_asked_for() -> None:
    assert torch.mtia_sim.fallbacks() == {}


def compiled_program(device: torch.device) -> bytes:
    source = torch.zeros(4).to(device)
    kernel = add_one[(1,)](source, source, 4, BLOCK=4)
    return bytes(kernel.kernel)


def test_a_corrupted_program_is_refused(device: torch.device) -> None:
    program = compiled_program(device)
    assert _C.load_program(program).name
    assert _C.load_program(program).disassemble()
    for place in range(0, len(program), max(1, len(program) // 40)):
        damaged = bytearray(program)
        damaged[place] ^= 0x10
        with pytest.raises(errors.InvalidProgram):
            _C.load_program(bytes(damaged))
    for length in (0, 5, len(program) // 2, len(program) - 1):
        with pytest.raises(errors.InvalidProgram):
            _C.load_program(program[:length])


def test_a_corrupted_program_in_the_cache_is_named(tmp_path: Path) -> None:
    script = tmp_path / "kernel.py"
    script.write_text(
        textwrap.dedent(
            """
            import torch, triton, triton.language as tl

            @triton.jit
            def copy(source, target, BLOCK: tl.constexpr):
                place = tl.arange(0, BLOCK)
                tl.store(target + place, tl.load(source + place))

            x = torch.arange(8.0).to("mtia_sim")
            y = torch.empty(8, device="mtia_sim")
            copy[(1,)](x, y, BLOCK=8)
            assert y.cpu().tolist() == x.cpu().tolist()
            """
        )
    )
    program = f"import runpy; runpy.run_path({os.fspath(script)!r})"
    cache = os.fspath(tmp_path / "cache")
    run_successfully(program, TRITON_CACHE_DIR=cache)
    run_successfully(program, TRITON_CACHE_DIR=cache)
    programs = [path for path in Path(cache).rglob("*") if path.is_file() and path.read_bytes()[:8] == b"MTIAPROG"]
    assert programs
    for path in programs:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)
        # From the TTIR beside it the program would be made again.
        for source in path.parent.glob("*.ttir"):
            source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    done = run(program, TRITON_CACHE_DIR=cache)
    assert done.returncode == 1 and "InvalidProgram" in done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [("name = 'mine'", "mine.toml"), ("grid = 3", "mine.toml"), ("]] no toml", "mine.toml")],
)
def test_a_bad_chip_file(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    done = run("import torch; torch.empty(1, device='mtia_sim')", MTIA_SIM_CHIP=os.fspath(path))
    assert done.returncode == 1 and "InvalidChip" in done.stderr and message in done.stderr


def test_an_unknown_chip_lists_the_known_ones() -> None:
    done = run("import torch; print(torch.ones(2).sum()); torch.empty(1, device='mtia_sim')", MTIA_SIM_CHIP="mtia9")
    assert done.returncode == 1 and "InvalidChip" in done.stderr
    assert "mtia9" in done.stderr and "mtia300" in done.stderr and "tensor(2.)" in done.stdout


def test_errors_are_classes_of_their_category() -> None:
    assert issubclass(errors.OutOfBounds, IndexError) and issubclass(errors.InvalidArgument, ValueError)
    with pytest.raises(errors.InvalidArgument) as caught:
        torch.mtia_sim.set_device(9)
    assert str(caught.value).count("InvalidArgument") == 1


@pytest.mark.finds
def test_a_pending_error_does_not_stop_the_queue(device: torch.device) -> None:
    source = torch.randn(100).to(device)
    target = torch.zeros(100).to(device)
    add_one[(1,)](source, target, 256, BLOCK=256)  # faults
    add_one[(1,)](source, target, 100, BLOCK=128)  # runs all the same
    with pytest.raises(errors.OutOfBounds):
        torch.mtia_sim.synchronize()
    assert torch.equal(target.cpu(), source.cpu() + 1)


def test_an_error_that_nobody_waits_for_is_printed_at_exit(tmp_path: Path) -> None:
    script = tmp_path / "kernel.py"
    script.write_text(
        textwrap.dedent(
            """
            import time, torch, triton, triton.language as tl

            @triton.jit
            def wild(target, BLOCK: tl.constexpr):
                tl.store(target + tl.arange(0, BLOCK), 1.0)

            y = torch.empty(8, device="mtia_sim")
            wild[(1,)](y, BLOCK=1024)
            while not torch.mtia_sim.current_stream().query():
                time.sleep(0.01)
            """
        )
    )
    done = run(f"import runpy; runpy.run_path({os.fspath(script)!r})")
    assert done.returncode == 0
    assert "no call waited for" in done.stderr and "wild" in done.stderr
