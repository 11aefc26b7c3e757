"""Triton's tools around a kernel: tuning, measuring, hooks, dumps, caches, and kernels compiled without a launch."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
import triton
import triton.language as tl
import triton.testing
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource


@triton.jit
def scale(x, out, n, factor, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = offsets < n
    tl.store(out + offsets, tl.load(x + offsets, mask=inside) * factor, mask=inside)


@triton.jit
def scale_whole(x, out, n, factor, BLOCK: tl.constexpr):
    """The same with an operation that needs its tile whole."""
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = offsets < n
    values = tl.gather(tl.load(x + offsets, mask=inside), tl.arange(0, BLOCK), 0)
    tl.store(out + offsets, values * factor, mask=inside)


def flops_of(grid: Any, metadata: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"name": f"scale_{arguments['n']}", "flops32": arguments["n"], "programs": grid[0]}


described = triton.jit(scale.fn, launch_metadata=flops_of)


@pytest.fixture
def operands(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(5000, generator=torch.Generator().manual_seed(0)).to(device)
    return x, torch.full_like(x, float("nan"))


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path) -> Any:
    """A cache of its own, and Triton's switches as they were."""
    with triton.knobs.cache.scope(), triton.knobs.runtime.scope(), triton.knobs.compilation.scope():
        triton.knobs.cache.dir = str(tmp_path / "cache")
        scale.device_caches.clear()
        yield
        scale.device_caches.clear()


def chip_seconds() -> float:
    torch.mtia_sim.synchronize()
    return float(torch.mtia_sim.perf_counters()["seconds"])


def tuned(configs: list[triton.Config], **options: Any) -> Any:
    return triton.autotune(configs, key=["n"], **options)(triton.jit(scale.fn))


def test_autotune_picks_by_chip_time_and_drops_what_does_not_fit(operands: Any) -> None:
    x, out = operands
    configs = [triton.Config({"BLOCK": size}, num_warps=8) for size in (16, 1024, 1 << 20)]
    configs.append(triton.Config({"BLOCK": 2048, "matrix_instr_nonkdim": 16, "waves_per_eu": 2, "kpack": 2}))
    kernel = triton.autotune(configs, key=["n"])(scale_whole)
    kernel[lambda meta: (triton.cdiv(5000, meta["BLOCK"]),)](x, out, 5000, 2.0)
    assert torch.equal(out.cpu(), x.cpu() * 2)
    times = {config.kwargs["BLOCK"]: timing[0] for config, timing in kernel.configs_timings.items()}
    assert times[1 << 20] == float("inf")
    assert times[1024] < times[16] < 1.0  # milliseconds of the chip, not of the host
    assert kernel.best_config.kwargs["BLOCK"] == min(times, key=lambda size: times[size])


def test_the_tuner_measures_one_launch_that_finds_a_cold_cache(operands: Any) -> None:
    x, out = operands
    driver = triton.runtime.driver.active
    measure = driver.get_benchmarker()
    first = measure(lambda: scale[(5,)](x, out, 5000, 2.0, BLOCK=1024), quantiles=(0.5, 0.2, 0.8))
    second = measure(lambda: scale[(5,)](x, out, 5000, 2.0, BLOCK=1024))
    assert first == [second] * 3 and 0 < second < 1


def test_tuning_results_are_kept_on_disk(operands: Any) -> None:
    x, out = operands
    calls: list[int] = []
    configs = [triton.Config({"BLOCK": size}) for size in (256, 512)]

    def measure(call: Any, quantiles: Any) -> list[float]:
        calls.append(1)
        return triton.runtime.driver.active.get_benchmarker()(call, quantiles=quantiles)

    for _ in range(2):
        kernel = tuned(configs, cache_results=True, do_bench=measure)
        kernel[lambda meta: (triton.cdiv(5000, meta["BLOCK"]),)](x, out, 5000, 3.0)
    assert len(calls) == 2
    assert torch.equal(out.cpu(), x.cpu() * 3)


def test_configurations_are_pruned(operands: Any) -> None:
    x, out = operands
    seen: list[int] = []

    def early(configs: list[Any], named: dict[str, Any], **_: Any) -> list[Any]:
        assert named["n"] == 5000
        return [config for config in configs if config.kwargs["BLOCK"] >= 256]

    def model(BLOCK: int, **_: Any) -> float:
        seen.append(BLOCK)
        return abs(BLOCK - 512)

    kernel = tuned(
        [triton.Config({"BLOCK": size}) for size in (16, 256, 512, 1024, 2048)],
        prune_configs_by={"early_config_prune": early, "perf_model": model, "top_k": 2},
    )
    kernel[lambda meta: (triton.cdiv(5000, meta["BLOCK"]),)](x, out, 5000, 2.0)
    assert seen == [256, 512, 1024, 2048]
    assert {config.kwargs["BLOCK"] for config in kernel.configs_timings} == {512, 256}


def test_heuristics_over_autotune(operands: Any) -> None:
    x, out = operands
    kernel = triton.heuristics({"BLOCK": lambda arguments: triton.next_power_of_2(arguments["n"])})(
        triton.jit(scale.fn)
    )
    kernel[(1,)](x, out, 5000, 2.0)
    assert torch.equal(out.cpu(), x.cpu() * 2)


def test_do_bench_measures_the_chip_and_ends(operands: Any) -> None:
    x, out = operands
    calls: list[int] = []

    def call() -> None:
        calls.append(1)
        scale[(5,)](x, out, 5000, 2.0, BLOCK=1024)

    times = triton.testing.do_bench(call, return_mode="all")
    assert len(calls) < 30  # by the chip's clock alone it would be ten thousands
    assert len(times) > 5 and max(times) - min(times) < 1e-9 * max(times) + 1e-12
    assert times[0] == pytest.approx(triton.runtime.driver.active.get_benchmarker()(call), rel=1e-6)
    before = chip_seconds()
    scale[(5,)](x, out, 5000, 2.0, BLOCK=1024)
    assert (chip_seconds() - before) * 1e3 <= times[0]  # warm now


def test_the_cuda_graph_benchmark_measures_chip_time_of_a_warm_chip(operands: Any) -> None:
    x, out = operands

    def call() -> None:
        scale[(5,)](x, out, 5000, 2.0, BLOCK=1024)

    assert triton.runtime.driver.active.get_current_target().backend == "mtia_sim"
    cold = triton.testing.do_bench(call)
    times = triton.testing.do_bench_cudagraph(call, return_mode="all")
    before = chip_seconds()
    call()
    assert times == pytest.approx([(chip_seconds() - before) * 1e3] * 10, rel=1e-6)
    assert 0 < triton.testing.do_bench_cudagraph(call) <= cold
    assert triton.testing.do_bench_cudagraph(call, quantiles=[0.5, 0.9]) == pytest.approx([times[0]] * 2, rel=1e-6)
    with pytest.raises(ValueError, match="return_mode is 'most'"):
        triton.testing.do_bench_cudagraph(call, return_mode="most")


def test_perf_report_writes_its_table(operands: Any, tmp_path: Path) -> None:
    x, out = operands

    @triton.testing.perf_report(
        triton.testing.Benchmark(
            x_names=["n"], x_vals=[1000, 4000], line_arg="block", line_vals=[256, 1024], line_names=["256", "1024"],
            ylabel="ms", plot_name="scale", args={},
        )
    )  # fmt: skip
    def bench(n: int, block: int) -> float:
        return float(triton.testing.do_bench(lambda: scale[(triton.cdiv(n, block),)](x, out, n, 2.0, BLOCK=block)))

    bench.run(save_path=str(tmp_path))
    rows = (tmp_path / "scale.csv").read_text().splitlines()
    assert len(rows) == 3 and all(0 < float(cell) < 1 for cell in rows[1].split(",")[1:])
    assert (tmp_path / "scale.png").stat().st_size > 1000


def test_launch_hooks_get_the_metadata_that_profilers_read(operands: Any) -> None:
    x, out = operands
    seen: list[tuple[str, dict[str, Any]]] = []
    for when in ("enter", "exit"):
        getattr(triton.knobs.runtime, f"launch_{when}_hook").add(
            lambda metadata, when=when: seen.append((when, metadata.get()))
        )
    try:
        described[(5,)](x, out, 5000, 2.0, BLOCK=1024)
    finally:
        triton.knobs.runtime.launch_enter_hook.calls.clear()
        triton.knobs.runtime.launch_exit_hook.calls.clear()
    assert [when for when, _ in seen] == ["enter", "exit"]
    metadata = seen[0][1]
    assert metadata["name"] == "scale_5000" and metadata["flops32"] == 5000 and metadata["programs"] == 5
    assert metadata["stream"] == torch.mtia_sim.current_stream().stream_id
    assert "function" in metadata


def test_a_hook_that_raises_stops_the_launch(operands: Any) -> None:
    x, out = operands

    def refuse(metadata: Any) -> None:
        raise PermissionError("not now")

    triton.knobs.runtime.launch_enter_hook.add(refuse)
    try:
        with pytest.raises(PermissionError, match="not now"):
            described[(5,)](x, out, 5000, 2.0, BLOCK=1024)
    finally:
        triton.knobs.runtime.launch_enter_hook.remove(refuse)
    assert out.cpu().isnan().all()


def test_a_kernel_compiled_by_warmup_launches_by_itself(operands: Any) -> None:
    x, out = operands
    kernel = scale.warmup(torch.float32, torch.float32, 5000, 2.0, BLOCK=1024, grid=(1,))
    assert set(kernel.asm) == {"source", "ttir", "tileprog", "disassembly"}
    assert "test_triton_tools.py:" in kernel.asm["disassembly"] and "dma_load" in kernel.asm["disassembly"]
    assert kernel.metadata.num_warps >= 1 and kernel.metadata.shared > 0 and kernel.metadata.target.arch == "mtia300"
    kernel[(5, 1, 1)](x, out, 5000, 2.0, 1024)
    assert torch.equal(out.cpu(), x.cpu() * 2)


def test_kernels_compile_in_threads(operands: Any) -> None:
    x, out = operands
    with ThreadPoolExecutor(2) as pool, triton.AsyncCompileMode(pool):
        for block in (128, 256, 512):
            scale.warmup(x, out, 5000, 2.0, BLOCK=block, grid=(1,))
        scale[(triton.cdiv(5000, 256),)](x, out, 5000, 2.0, BLOCK=256)
    assert torch.equal(out.cpu(), x.cpu() * 2)


def test_text_of_ttir_compiles_and_launches(operands: Any, tmp_path: Path) -> None:
    x, out = operands
    text = scale.warmup(x, out, 5000, 2.0, BLOCK=1024, grid=(1,)).asm["ttir"]
    path = tmp_path / "scale.ttir"
    path.write_text(text.replace("arith.mulf", "arith.addf"))
    kernel = triton.compile(str(path))
    kernel[(5, 1, 1)](x, out, 5000, 2.0)
    assert torch.equal(out.cpu(), x.cpu() + 2)


def test_ttir_of_another_kernel_takes_its_place(operands: Any, tmp_path: Path) -> None:
    """ir_override of a configuration, and TRITON_KERNEL_OVERRIDE with its folder."""
    x, out = operands
    path = tmp_path / "scale.ttir"
    path.write_text(
        scale.warmup(x, out, 5000, 2.0, BLOCK=1024, grid=(1,)).asm["ttir"].replace("arith.mulf", "arith.subf")
    )
    kernel = tuned([triton.Config({"BLOCK": 1024}, ir_override=str(path))])
    kernel[(5,)](x, out, 5000, 2.0)
    assert torch.equal(out.cpu(), x.cpu() - 2)


def test_switches_dump_and_override_every_stage(operands: Any, tmp_path: Path) -> None:
    x, out = operands
    triton.knobs.cache.dump_dir = str(tmp_path / "dump")
    triton.knobs.cache.override_dir = str(tmp_path / "dump")
    triton.knobs.compilation.always_compile = True
    triton.knobs.compilation.dump_ir = True
    scale[(5,)](x, out, 5000, 2.0, BLOCK=1024)
    (folder,) = (tmp_path / "dump").iterdir()
    assert {path.suffix for path in folder.iterdir()} >= {".ttir", ".tileprog", ".disassembly"}
    for path in folder.iterdir():
        if path.suffix != ".ttir":
            path.unlink()
    (path,) = folder.glob("*.ttir")
    path.write_text(path.read_text().replace("arith.mulf", "arith.addf"))
    triton.knobs.compilation.dump_ir = False
    triton.knobs.compilation.override = True
    scale.device_caches.clear()
    scale[(5,)](x, out, 5000, 2.0, BLOCK=1024)
    assert torch.equal(out.cpu(), x.cpu() + 2)


def test_mlir_dumps_passes(tmp_path: Path) -> None:
    script = tmp_path / "dump.py"
    script.write_text(
        "import torch, triton, triton.language as tl\n"
        "@triton.jit\ndef one(x):\n    tl.store(x, 1.0)\n"
        "x = torch.zeros(1, device='mtia_sim')\none[(1,)](x)\nassert x.item() == 1\n"
    )
    environment = {**os.environ, "MLIR_ENABLE_DUMP": "1", "TRITON_CACHE_DIR": str(tmp_path / "cache")}
    finished = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=True)
    assert "IR Dump Before" in finished.stderr and "tt.store" in finished.stderr


def test_a_listener_hears_of_compilations_and_cache_hits(operands: Any) -> None:
    x, out = operands
    heard: list[tuple[bool, list[str]]] = []
    triton.knobs.compilation.listener = lambda *, src, metadata, metadata_group, times, cache_hit: heard.append(
        (cache_hit, [name for name, _ in times.lowering_stages])
    )
    for _ in range(2):
        scale.device_caches.clear()
        scale[(5,)](x, out, 5000, 2.0, BLOCK=1024)
    assert heard == [(False, ["ttir", "tileprog", "disassembly"]), (True, [])]


def test_a_hook_may_change_the_stages(operands: Any) -> None:
    x, out = operands
    called: list[str] = []

    def inspect_stages(backend: Any = None, stages: Any = None, *_: Any) -> Any:
        if stages is None:
            return "key", "hash"
        lower = stages["tileprog"]
        stages["tileprog"] = lambda module, metadata: called.append("tileprog") or lower(module, metadata)
        return None

    triton.knobs.runtime.add_stages_inspection_hook = inspect_stages
    scale[(5,)](x, out, 5000, 2.0, BLOCK=1024)
    assert called == ["tileprog"] and torch.equal(out.cpu(), x.cpu() * 2)


def test_specialisation(operands: Any) -> None:
    """Integers that are 1 or divide by 16 make variants of a kernel, unless it is told not to."""
    x, out = operands
    compiled: list[str] = []
    triton.knobs.runtime.jit_cache_hook = lambda *, repr, **_: compiled.append(repr)
    plain = triton.jit(scale.fn)
    for count in (5000, 4992, 1, 4999):
        plain[(5,)](x, out, count, 2.0, BLOCK=1024)
    assert len(compiled) == 3
    same = triton.jit(scale.fn, do_not_specialize=["n"])
    for count in (5000, 4992, 1):
        same[(5,)](x, out, count, 2.0, BLOCK=1024)
    assert len(compiled) == 4
    same[(5,)](x[1:], out[1:], 4999, 2.0, BLOCK=1024)  # other alignment of the pointers
    assert len(compiled) == 5
    assert torch.equal(out.cpu(), x.cpu() * 2)


def test_damaged_cache_entries_are_made_again_or_refused(operands: Any) -> None:
    x, out = operands
    kernel = scale.warmup(x, out, 5000, 2.0, BLOCK=1024, grid=(1,))
    (path,) = (Path(name) for key, name in kernel.metadata_group.items() if key.endswith(".tileprog"))
    program = path.read_bytes()
    path.write_bytes(program[:-40] + bytes(40))
    scale.device_caches.clear()
    scale[(5,)](x, out, 5000, 2.0, BLOCK=1024)
    assert torch.equal(out.cpu(), x.cpu() * 2)
    assert path.read_bytes() == program
    path.write_bytes(program[:100])
    path.with_suffix(".ttir").write_text("nothing of the kind")
    scale.device_caches.clear()
    with pytest.raises(RuntimeError, match=r"InvalidProgram.*delete the cached program"):
        scale[(5,)](x, out, 5000, 2.0, BLOCK=1024)
    triton.knobs.compilation.always_compile = True
    scale.device_caches.clear()
    scale[(5,)](x, out, 5000, 2.0, BLOCK=1024)
    assert torch.equal(out.cpu(), x.cpu() * 2)


def test_kernels_for_another_chip_need_no_device_and_are_loaded_elsewhere(operands: Any, tmp_path: Path) -> None:
    """Compiled in a process without torch for mtia2i; its program runs here, on a chip with more local memory."""
    source = tmp_path / "kernels.py"
    source.write_text(
        "import triton\nimport triton.language as tl\n\n\n@triton.jit\n"
        "def scale(x, out, n, factor, BLOCK: tl.constexpr):\n"
        "    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)\n"
        "    inside = offsets < n\n"
        "    tl.store(out + offsets, tl.load(x + offsets, mask=inside) * factor, mask=inside)\n"
    )
    path = tmp_path / "scale.tileprog"
    command = [sys.executable, "-m", "triton_mtia_sim.ahead_of_time", str(source), "-n", "scale", "-c", "mtia2i"]
    command += ["-s", "*fp32:16, *fp32:16, i32, fp32, 1024", "-o", str(path)]
    finished = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ})
    assert "local memory" in finished.stdout and "dma_store" in path.with_suffix(".disassembly").read_text()
    x, out = operands
    kernel = torch.mtia_sim.load_kernel(path)
    assert [name for name, _, _ in kernel.parameters] == ["x", "out", "n", "factor"]
    kernel[(5,)](x, out, 5000, 2.0)
    assert torch.equal(out.cpu(), x.cpu() * 2)
    with pytest.raises(RuntimeError, match="InvalidArgument"):
        kernel[(5,)](x, out, 5000)
    with pytest.raises(RuntimeError, match="InvalidProgram"):
        torch.mtia_sim.load_kernel(path.read_bytes()[:-1])


def test_triton_compiles_from_source_for_any_chip() -> None:
    source = ASTSource(
        scale, {"x": "*fp32", "out": "*fp32", "n": "i32", "factor": "fp32", "BLOCK": "constexpr"}, {"BLOCK": 8192}
    )
    kernels = {chip: triton.compile(source, target=GPUTarget("mtia_sim", chip, 1)) for chip in ("mtia2i", "mtia1")}
    assert {kernel.metadata.target.arch for kernel in kernels.values()} == {"mtia2i", "mtia1"}
    large = ASTSource(
        scale_whole,
        {"x": "*fp32", "out": "*fp32", "n": "i32", "factor": "fp32", "BLOCK": "constexpr"},
        {"BLOCK": 1 << 16},
    )
    with pytest.raises(triton.runtime.errors.OutOfResources, match="mtia1"):
        triton.compile(large, target=GPUTarget("mtia_sim", "mtia1", 1))


def test_preloaded_kernels_are_not_compiled_again(operands: Any) -> None:
    x, out = operands
    data: list[str] = []
    triton.knobs.runtime.jit_cache_hook = lambda *, compile, **_: data.append(compile["specialization_data"])
    scale.warmup(x, out, 5000, 2.0, BLOCK=1024, grid=(1,))
    assert json.loads(data[0])["target"]["backend"] == "mtia_sim"
    scale.device_caches.clear()
    triton.knobs.runtime.jit_cache_hook = None
    scale.preload(data[0])
    triton.knobs.runtime.jit_cache_hook = lambda *, compile, **_: data.append("again")
    scale[(5,)](x, out, 5000, 2.0, BLOCK=1024)
    assert "again" not in data and torch.equal(out.cpu(), x.cpu() * 2)


def test_a_loop_without_end_is_reported_with_its_line(tmp_path: Path) -> None:
    script = tmp_path / "spin.py"
    script.write_text(
        "import torch, triton, triton.language as tl\n"
        "@triton.jit\n"
        "def spin(x):\n"
        "    while tl.load(x) != 1.0:\n"  # line 4
        "        tl.store(x, 2.0)\n"
        "x = torch.zeros(1, device='mtia_sim')\n"
        "spin[(1,)](x)\n"
        "try:\n"
        "    torch.mtia_sim.synchronize()\n"
        "except RuntimeError as error:\n"
        "    print(error)\n"
        "print(x.item())\n"  # the device stays usable
    )
    environment = {**os.environ, "MTIA_SIM_LOOP_LIMIT": "1000"}
    finished = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=True)
    message, value = finished.stdout.strip().splitlines()
    assert message.startswith("Deadlock") and "spin.py:4" in message and "1000 loop iterations" in message
    assert "MTIA_SIM_LOOP_LIMIT" in message and value == "2.0"


def test_integer_overflow_is_asserted_in_debug_builds_of_a_kernel(device: torch.device) -> None:
    @triton.jit
    def add(x, y):
        tl.store(x, tl.load(x) + tl.load(y))

    for debug, message in ((False, None), (True, "int32 overflow detected for operation add")):
        x = torch.tensor([2**31 - 1], dtype=torch.int32, device=device)
        add[(1,)](x, torch.ones_like(x), debug=debug)
        if message is None:
            assert x.item() == -(2**31)
            continue
        with pytest.raises(RuntimeError, match=message):
            torch.mtia_sim.synchronize()
