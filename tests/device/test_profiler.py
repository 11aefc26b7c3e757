"""torch.profiler with ProfilerActivity.PrivateUse1: kernels and copies on chip time, tied to the operators that made
them."""

import itertools
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch
import triton
import triton.language as tl
from torch._C._profiler import _ExperimentalConfig
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, record_function, schedule

from mtia_core import chips
from tests.mtia_sim.trace_checkers import import_into_chrome, query

BOTH = [ProfilerActivity.CPU, ProfilerActivity.PrivateUse1]


@triton.jit
def profiled_scale(x_pointer, out_pointer, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = offsets < n
    tl.store(out_pointer + offsets, 3 * tl.load(x_pointer + offsets, mask=inside), mask=inside)


def device_events(profiler: profile) -> list[Any]:
    events = [event for event in profiler.events() if event.device_type == DeviceType.PrivateUse1]
    return [event for event in events if not event.is_user_annotation]


def exported(profiler: profile, folder: Path) -> list[dict[str, Any]]:
    path = folder / "trace.json"
    profiler.export_chrome_trace(str(path))
    return json.loads(path.read_text())["traceEvents"]


def chip_seconds_of(function: Any) -> float:
    """Chip time that the counters give for what a function submits."""
    torch.mtia_sim.synchronize()
    torch.mtia_sim.reset_perf_counters()
    function()
    torch.mtia_sim.synchronize()
    return float(torch.mtia_sim.perf_counters()["elapsed_seconds"])


def test_device_time_is_the_chip_time_of_the_counters() -> None:
    a = torch.randn(65, 130, device="mtia_sim")
    b = torch.randn(130, 70, device="mtia_sim")

    def work() -> None:
        torch.relu(a @ b).sum(dim=0).cpu()

    work()
    with profile(activities=BOTH) as profiler:
        expected = chip_seconds_of(work)
    events = device_events(profiler)
    assert [event.name for event in events] == ["gemm", "elementwise_contiguous", "reduce", "copy_from_device"]
    # One stream, whose first launch finds the grid idle: the durations, rounded to nanoseconds, add up to the rest.
    chip = chips.load()
    started = (chip.launch_ns - chip.replace_ns) * 1e-3
    assert sum(event.time_range.elapsed_us() for event in events) + started == pytest.approx(expected * 1e6, abs=0.01)
    for event, following in itertools.pairwise(events):
        assert following.time_range.start == pytest.approx(event.time_range.end, abs=0.0015)
    by_operator = {row.key: row for row in profiler.key_averages()}
    for operator, event in zip(("aten::mm", "aten::relu", "aten::sum"), events, strict=False):
        assert by_operator[operator].self_device_time_total == pytest.approx(event.time_range.elapsed_us())
    table = profiler.key_averages().table(sort_by="self_device_time_total")
    assert "Self MTIA_SIM" in table and "gemm" in table


def test_kernels_of_the_backward_pass_belong_to_their_operators(tmp_path: Path) -> None:
    layer = torch.nn.Linear(33, 17).to("mtia_sim")
    x = torch.randn(9, 33, device="mtia_sim", requires_grad=True)
    layer(x).sum().backward()
    with profile(activities=BOTH) as profiler, record_function("whole step"):
        with record_function("forward"):
            loss = layer(x).sum()
        loss.backward()
    by_operator = {row.key: row for row in profiler.key_averages()}
    assert by_operator["aten::mm"].count == 2 and by_operator["aten::mm"].self_device_time_total > 0
    kernels = [event for event in exported(profiler, tmp_path) if event.get("cat") == "kernel"]
    assert len(kernels) == len(device_events(profiler))
    operators = {
        event["args"]["External id"]: event["name"]
        for event in exported_again(tmp_path)
        if event.get("cat") == "cpu_op"
    }
    assert {operators[kernel["args"]["External id"]] for kernel in kernels} >= {"aten::addmm", "aten::mm", "aten::sum"}
    spans = {
        event["name"]: (event["ts"], event["ts"] + event["dur"])
        for event in exported_again(tmp_path)
        if event.get("cat") == "gpu_user_annotation"
    }
    # What a range of record_function submitted, as a span on the device; the range is that of the submitting thread.
    forward = [kernel for kernel in kernels if operators[kernel["args"]["External id"]] in ("aten::addmm", "aten::sum")]
    assert spans["forward"][0] == pytest.approx(min(kernel["ts"] for kernel in forward), abs=0.01)
    assert spans["forward"][1] <= max(kernel["ts"] + kernel["dur"] for kernel in kernels) + 0.01


def exported_again(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "trace.json").read_text())["traceEvents"]


def test_chrome_and_perfetto_read_what_is_exported(tmp_path: Path) -> None:
    layer = torch.nn.Linear(33, 17).to("mtia_sim")
    with profile(activities=BOTH) as profiler, record_function("step"):
        layer(torch.randn(9, 33, device="mtia_sim")).sum().backward()
    exported(profiler, tmp_path)
    path = tmp_path / "trace.json"
    # Kineto says that times are shown in ms, by which Chrome's importer compares the ends of slices to a microsecond
    # and takes a shorter kernel for a part of the one before.
    path.write_text(path.read_text().replace('"displayTimeUnit": "ms"', '"displayTimeUnit": "ns"'))
    assert import_into_chrome(path)["flows"] >= len(device_events(profiler))
    kernels, flows = query(
        path,
        "select count(*) as count from slice where category in ('kernel', 'gpu_memcpy', 'gpu_memset')",
        "select count(*) as count from flow f join slice s on f.slice_in = s.id where s.category in"
        " ('kernel', 'gpu_memcpy', 'gpu_memset')",
    )
    assert kernels == flows == [{"count": len(device_events(profiler))}]


def test_arrows_lead_from_each_submission_to_its_execution(tmp_path: Path) -> None:
    x = torch.randn(300, device="mtia_sim")
    with profile(activities=BOTH) as profiler:
        y = (x * 2).exp()
        y.fill_(1)
        y.cpu()
    events = exported(profiler, tmp_path)
    arrows: dict[int, dict[str, dict[str, Any]]] = defaultdict(dict)
    for event in events:
        if event.get("cat") == "ac2g":
            arrows[event["id"]][event["ph"]] = event
    executions = [event for event in events if event.get("cat") in ("kernel", "gpu_memcpy", "gpu_memset")]
    assert len(executions) == 4 and len(arrows) == 4
    host = {event["pid"] for event in events if event.get("cat") == "cpu_op"}
    for execution in executions:
        arrow = arrows[execution["args"]["correlation"]]
        assert arrow["s"]["ts"] <= arrow["f"]["ts"], "an arrow must not lead into the past"
        assert (arrow["f"]["pid"], arrow["f"]["tid"]) == (execution["pid"], execution["tid"]) == (0, 0)
        assert arrow["s"]["pid"] in host
    names = {event["args"]["labels"] for event in events if event["name"] == "process_labels" and event["pid"] == 0}
    assert names == {"mtia_sim:0, chip time"}


def test_a_triton_kernel_that_python_launches_appears_by_its_name() -> None:
    x = torch.randn(1000, device="mtia_sim")
    out = torch.empty_like(x)
    with profile(activities=BOTH) as profiler:
        profiled_scale[(4,)](x, out, 1000, BLOCK=256)
    torch.testing.assert_close(out.cpu(), 3 * x.cpu())
    assert [event.name for event in device_events(profiler)] == ["profiled_scale"]
    assert "profiled_scale" in profiler.key_averages().table(sort_by="self_device_time_total")


def test_stacks_lead_to_the_line_that_launched() -> None:
    x = torch.randn(50, device="mtia_sim")
    with profile(activities=BOTH, with_stack=True, experimental_config=_ExperimentalConfig(verbose=True)) as profiler:
        torch.tanh(x)
    operator = next(event for event in profiler.events() if event.name == "aten::tanh")
    assert operator.self_device_time_total > 0
    assert any("test_profiler.py" in line for line in operator.stack)


def test_memory_of_the_device_is_reported_by_operator() -> None:
    torch.empty(1, device="mtia_sim")
    with profile(activities=BOTH, profile_memory=True) as profiler, record_function("allocates"):
        x = torch.empty(1 << 20, dtype=torch.uint8, device="mtia_sim")
    by_operator = {row.key: row for row in profiler.key_averages()}
    assert by_operator["aten::empty"].self_device_memory_usage == 1 << 20
    assert by_operator["allocates"].device_memory_usage == 1 << 20
    with profile(activities=BOTH, profile_memory=True) as profiler:
        del x
    assert sum(row.self_device_memory_usage for row in profiler.key_averages()) == -(1 << 20)


def test_a_schedule_records_its_active_steps_only() -> None:
    x = torch.randn(64, 64, device="mtia_sim")
    seen = []

    def keep(profiler: profile) -> None:
        seen.append([event.name for event in device_events(profiler)])

    plan = schedule(wait=1, warmup=1, active=2, repeat=2)
    with profile(activities=BOTH, schedule=plan, on_trace_ready=keep) as profiler:
        for step in range(8):
            x.mul(2.0) if step % 2 else x @ x
            profiler.step()
    assert seen == [["gemm", "elementwise_contiguous"]] * 2


def test_streams_overlap_in_chip_time() -> None:
    a = torch.randn(512, 512, device="mtia_sim")
    staged = torch.randn(1 << 18).pin_memory()
    target = torch.empty(1 << 18, device="mtia_sim")
    other = torch.mtia_sim.Stream()
    torch.mtia_sim.synchronize()
    with profile(activities=BOTH) as profiler:
        a @ a
        with torch.mtia_sim.stream(other):
            target.copy_(staged, non_blocking=True)
        torch.mtia_sim.synchronize()
    kernel, copy = sorted(device_events(profiler), key=lambda event: event.name != "gemm")
    assert copy.name == "copy_to_device" and copy.device_resource_id == other.stream_id
    assert kernel.device_resource_id == 0
    assert max(kernel.time_range.start, copy.time_range.start) < min(kernel.time_range.end, copy.time_range.end)


def test_each_device_has_its_track() -> None:
    x = torch.randn(40, device="mtia_sim:0")
    y = torch.randn(40, device="mtia_sim:1")
    with profile(activities=BOTH) as profiler:
        x + x
        y + y
        y.to("mtia_sim:0")
        torch.mtia_sim.synchronize(1)
    found = {(event.name, event.device_index) for event in device_events(profiler)}
    assert found == {
        ("elementwise_contiguous", 0),
        ("elementwise_contiguous", 1),
        ("copy_to_peer", 1),
        ("copy_from_peer", 0),
    }


def test_without_the_activity_nothing_is_recorded() -> None:
    x = torch.randn(40, device="mtia_sim")
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        x + x
    assert device_events(profiler) == []
    assert any(event.name == "aten::add" for event in profiler.events())


def test_work_of_before_the_profile_is_not_in_it() -> None:
    x = torch.randn(256, 256, device="mtia_sim")
    for _ in range(20):
        x @ x
    with profile(activities=BOTH) as profiler:
        x.exp()
    assert [event.name for event in device_events(profiler)] == ["elementwise_contiguous"]


@pytest.mark.finds
def test_a_failing_launch_leaves_a_profile() -> None:
    x = torch.randn(30, device="mtia_sim")
    with profile(activities=BOTH) as profiler:
        x + 1
        bad = torch.tensor([99], device="mtia_sim")
        with pytest.raises(Exception, match="index 99 is out of range of 4 rows"):
            torch.nn.functional.embedding(bad, torch.randn(4, 4, device="mtia_sim")).cpu()
        x - 1
    assert [event.name for event in device_events(profiler)].count("elementwise_contiguous") >= 2


def test_the_profiler_without_kineto_has_chip_time() -> None:
    x = torch.randn(1500, 1500, device="mtia_sim")
    x @ x
    expected = chip_seconds_of(lambda: x @ x)
    with torch.autograd.profiler.profile(use_device="mtia_sim", use_kineto=False) as profiler:
        x @ x
    by_operator = {row.key: row for row in profiler.key_averages()}
    assert by_operator["aten::mm"].device_time_total == pytest.approx(expected * 1e6, abs=1.0)  # whole microseconds
