"""torch.mtia_sim.trace: files that Perfetto and Chrome read, agreeing with the counters and with each other."""

import itertools
import json
import math
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import triton
import triton.language as tl

from mtia_core import chips
from mtia_core.errors import InvalidArgument, MtiaError
from tests.mtia_sim.trace_checkers import import_into_chrome, query

Event = dict[str, Any]


@triton.jit
def traced_matmul(a, b, c, m, n, k, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    rows = tl.program_id(0) * M + tl.arange(0, M)
    columns = tl.program_id(1) * N + tl.arange(0, N)
    total = tl.zeros((M, N), tl.float32)
    for start in range(0, k, K):
        depth = start + tl.arange(0, K)
        left = tl.load(a + rows[:, None] * k + depth[None, :], (rows[:, None] < m) & (depth[None, :] < k), 0.0)
        right = tl.load(b + depth[:, None] * n + columns[None, :], (depth[:, None] < k) & (columns[None, :] < n), 0.0)
        total += tl.dot(left, right)
    tl.store(c + rows[:, None] * n + columns[None, :], total, (rows[:, None] < m) & (columns[None, :] < n))


def matmul(m: int = 200, n: int = 190, k: int = 170) -> torch.Tensor:
    a = torch.randn(m, k, device="mtia_sim")
    b = torch.randn(k, n, device="mtia_sim")
    c = torch.full((m, n), math.nan, device="mtia_sim")
    traced_matmul[(triton.cdiv(m, 32), triton.cdiv(n, 32))](a, b, c, m, n, k, M=32, N=32, K=32)
    torch.testing.assert_close(c.cpu(), a.cpu() @ b.cpu(), rtol=1e-4, atol=1e-4)
    return c


def events_of(path: Path) -> list[Event]:
    return json.loads(path.read_text())["traceEvents"]


def counters_of(work: Callable[[], object]) -> dict[str, Any]:
    torch.mtia_sim.synchronize()
    torch.mtia_sim.reset_perf_counters()
    work()
    torch.mtia_sim.synchronize()
    return torch.mtia_sim.perf_counters()


def track_names(events: list[Event]) -> dict[tuple[int, int], tuple[str, str]]:
    """(process, thread) by their numbers."""
    processes = {e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}
    threads = [e for e in events if e["name"] == "thread_name"]
    return {(e["pid"], e["tid"]): (processes[e["pid"]], e["args"]["name"]) for e in threads}


def check_format(events: list[Event]) -> None:
    """The rules of the trace event format for the phases that a trace uses: required fields, finite times that are not
    negative, known metadata, and slices of a thread that nest."""
    tracks: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    counted: dict[tuple[int, str], float] = {}
    for event in events:
        assert {"ph", "pid", "tid", "name", "ts"} <= event.keys()
        assert isinstance(event["pid"], int) and isinstance(event["tid"], int) and isinstance(event["name"], str)
        assert math.isfinite(event["ts"]) and event["ts"] >= 0
        match event["ph"]:
            case "X":
                assert event["dur"] >= 0 and isinstance(event["args"], dict) and isinstance(event["cat"], str)
                start = round(event["ts"] * 1000)
                tracks[event["pid"], event["tid"]].append((start, start + round(event["dur"] * 1000)))
            case "C":
                assert all(math.isfinite(value) and value >= 0 for value in event["args"].values())
                key = event["pid"], event["name"]
                assert counted.get(key, -1) < event["ts"], f"{key} must go forward"
                counted[key] = event["ts"]
            case "M":
                assert event["name"] in ("process_name", "process_sort_index", "thread_name", "thread_sort_index")
                assert len(event["args"]) == 1
            case phase:
                raise AssertionError(f"phase {phase} is not used")
    assert tracks.keys() <= track_names(events).keys(), "every track has a name"
    for key, slices in tracks.items():
        assert slices == sorted(slices), key
        for before, after in itertools.pairwise(slices):
            assert after[0] >= before[1], f"{track_names(events)[key]}: {before} and {after} overlap"


def test_chrome_and_perfetto_read_the_json(tmp_path: Path) -> None:
    path = tmp_path / "matmul.json"
    with torch.mtia_sim.trace(path, pes=[0, 3], kernels="traced_*"):
        matmul()
    events = events_of(path)
    check_format(events)
    slices = [event for event in events if event["ph"] == "X"]
    model = import_into_chrome(path)
    groups = {process["name"]: process for process in model["processes"]}
    assert set(groups) == {"mtia_sim:0", "mtia_sim:0 PE 0", "mtia_sim:0 PE 3"}
    assert sum(thread["slices"] for group in groups.values() for thread in group["threads"]) == len(slices)
    assert {counter["name"] for counter in groups["mtia_sim:0"]["counters"]} == {"DRAM bandwidth", "SRAM bandwidth"}
    rows, depths = query(path, "select name, ts, dur from slice", "select max(depth) as deepest from slice")
    # Perfetto moves the earliest event to where it likes: durations and names stay.
    expected = Counter((event["name"], round(event["dur"] * 1000)) for event in slices)
    assert Counter((row["name"], row["dur"]) for row in rows) == expected
    assert depths == [{"deepest": 0}]


def test_both_formats_say_the_same(tmp_path: Path) -> None:
    torch.mtia_sim.manual_seed(0)
    paths = [tmp_path / "a.json", tmp_path / "a.pftrace"]
    for path in paths:
        torch.mtia_sim.flush_cache()  # the same contents of SRAM, so the same times
        torch.mtia_sim.synchronize()
        with torch.mtia_sim.trace(path, pes=[1]):
            matmul()
    found = []
    for path in paths:
        slices, counters = query(
            path,
            "select s.name, s.category, s.ts - (select min(ts) from slice where category != 'facts') as ts, s.dur,"
            " coalesce(th.name, t.name) as track, extract_arg(s.arg_set_id, 'debug.bytes') as bytes,"
            " extract_arg(s.arg_set_id, 'args.bytes') as json_bytes, extract_arg(s.arg_set_id, 'debug.line') as line,"
            " extract_arg(s.arg_set_id, 'args.line') as json_line"
            " from slice s join track t on s.track_id = t.id left join thread_track tt on tt.id = t.id"
            " left join thread th using (utid) where s.category != 'facts'",
            "select t.name as name, c.value as value from counter c join track t on c.track_id = t.id order by c.ts",
        )
        for entry in slices:
            entry["bytes"] = entry.pop("json_bytes") or entry["bytes"]
            entry["line"] = entry.pop("json_line") or entry["line"]
        found.append(
            (Counter(tuple(entry.items()) for entry in slices), Counter(round(entry["value"], 6) for entry in counters))
        )
    assert len(found[0][0]) > 50
    assert found[0] == found[1]


def test_units_were_busy_for_as_long_as_the_counters_say(tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    matmul()
    counters: dict[str, Any] = {}

    def work() -> None:
        nonlocal counters
        counters = counters_of(matmul)

    with torch.mtia_sim.trace(path, pes="all"):
        work()
    events = events_of(path)
    names = track_names(events)
    busy: dict[str, float] = defaultdict(float)
    for event in events:
        process, thread = names.get((event["pid"], event["tid"]), ("", ""))
        if event["ph"] == "X" and " PE " in process:
            busy[thread.split()[0]] += event["args"]["cycles"]
    pes = torch.mtia_sim.get_device_properties().multi_processor_count
    for unit in ("dot_product_engine", "fabric_interface", "vector_core", "scalar_core"):
        # The counters round each PE's share down to whole cycles.
        expected = counters["busy"][unit] * counters["cycles"] * pes
        assert busy[unit] == pytest.approx(expected, abs=counters["launches"] * pes), unit
    launches = [
        event for event in events if event["ph"] == "X" and names[event["pid"], event["tid"]][0] == "mtia_sim:0"
    ]
    assert sum(event["args"]["flops"] for event in launches if event["cat"] == "launch") == counters["flops"]
    seconds = sum(event["args"]["chip_us"] for event in launches) * 1e-6
    chip = chips.load()
    started = (chip.launch_ns - chip.replace_ns) * 1e-9  # the first launch finds the grid idle
    assert seconds + started == pytest.approx(counters["elapsed_seconds"], rel=1e-9)


def test_bandwidth_counters_add_up_to_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "bytes.json"
    x = torch.randn(3000, 1000, device="mtia_sim")
    with torch.mtia_sim.trace(path, pes=()):
        counters = counters_of(lambda: (torch.mtia_sim.flush_cache(), x * 2, x.cpu(), x.sum()))
    events = events_of(path)
    assert {event["pid"] for event in events} == {1}
    for name, kind in (("DRAM bandwidth", "dram"), ("SRAM bandwidth", "sram")):
        samples = [(e["ts"] * 1e3, e["args"]["GB/s"]) for e in events if e["ph"] == "C" and e["name"] == name]
        assert samples[-1][1] == 0
        expected = counters["bytes"][f"{kind}_read"] + counters["bytes"][f"{kind}_written"]
        assert expected > 0
        moved = sum((b[0] - a[0]) * a[1] for a, b in itertools.pairwise(samples))
        assert moved == pytest.approx(
            counters["bytes"][f"{kind}_read"] + counters["bytes"][f"{kind}_written"], rel=1e-6
        )


def test_instructions_know_their_source_lines(tmp_path: Path) -> None:
    path = tmp_path / "lines.json"
    with torch.mtia_sim.trace(path, pes=[0], kernels=["other", "traced_matmul"]):
        matmul()
    first = traced_matmul.fn.__code__.co_firstlineno
    text = Path(__file__).read_text().splitlines()
    events = [e for e in events_of(path) if e["ph"] == "X" and "line" in e["args"]]
    assert {e["args"]["kernel"] for e in events} == {"traced_matmul"}
    for mnemonic, source in (("dma_load", "tl.load"), ("dma_store", "tl.store"), ("dot", "tl.dot")):
        lines = {e["args"]["line"] for e in events if e["name"] == mnemonic}
        assert lines, mnemonic
        for line in lines:
            file, number = line.split(":")[:2]
            assert file == "test_tracing.py" and int(number) > first and source in text[int(number) - 1]
    loads = [e for e in events if e["name"] == "dma_load"]
    assert all(e["args"]["bytes"] == 32 * 32 * 4 for e in loads)
    assert all(e["args"]["ready_after_cycles"] > e["args"]["cycles"] for e in loads), "a load's data come after it"


def test_kernels_and_pes_are_chosen(tmp_path: Path) -> None:
    path = tmp_path / "chosen.json"
    with torch.mtia_sim.trace(path, pes=[2], kernels="soft*"):
        matmul()
        torch.softmax(torch.randn(700, 50, device="mtia_sim"), 1)
    names = track_names(events_of(path))
    traced = [e for e in events_of(path) if e["ph"] == "X" and " PE " in names[e["pid"], e["tid"]][0]]
    assert {e["args"]["kernel"] for e in traced} == {"softmax_forward"}
    assert {names[e["pid"], e["tid"]][0] for e in traced} == {"mtia_sim:0 PE 2"}
    launched = [e["name"] for e in events_of(path) if e["ph"] == "X" and e["cat"] == "launch"]
    assert "traced_matmul" in launched and "softmax_forward" in launched


def test_a_cpp_kernel_has_its_units_too(tmp_path: Path) -> None:
    path = tmp_path / "gemm.json"
    a = torch.randn(300, 300, device="mtia_sim")
    with torch.mtia_sim.trace(path, pes=[0], kernels="gemm"):
        a @ a
    events = events_of(path)
    check_format(events)
    import_into_chrome(path)
    names = {names[1] for names in track_names(events).values()}
    assert {"dot_product_engine", "fabric_interface in", "fabric_interface out"} <= names


def test_circular_buffers_of_a_tile_kernel_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "roles.json"
    source = Path(__file__).parents[1] / "device" / "cpp_kernels" / "gemm.cpp"
    a = torch.randn(300, 500, device="mtia_sim", dtype=torch.bfloat16)
    b = torch.randn(500, 260, device="mtia_sim", dtype=torch.bfloat16)
    c = torch.empty(300, 260, device="mtia_sim", dtype=torch.bfloat16)
    kernel = torch.mtia_sim.load_kernel(source)
    with torch.mtia_sim.trace(path, pes=[0, 1], kernels="gemm"):
        kernel[()](a, b, c, 1.0)
    torch.testing.assert_close(c.cpu(), a.cpu() @ b.cpu(), rtol=2e-2, atol=0.2)
    events = events_of(path)
    check_format(events)
    model = import_into_chrome(path)
    query(path)
    buffers = {f"circular buffer {name}" for name in "abc"}
    for group in model["processes"]:
        if " PE " in group["name"]:
            assert {counter["name"] for counter in group["counters"]} == buffers
    for buffer in buffers:
        full = [e["args"]["full pages"] for e in events if e["ph"] == "C" and e["name"] == buffer and e["pid"] == 2]
        assert min(full) >= 0 and 1 <= max(full) <= 2 and full[-1] == 0
    text = source.read_text().splitlines()
    for name, call in (("load", "pe.load("), ("dot", "pe.dot("), ("store", "pe.store(")):
        lines = {e["args"]["line"] for e in events if e["ph"] == "X" and e["name"] == name and "line" in e["args"]}
        assert lines and all(line.startswith("gemm.cpp:") for line in lines)
        assert all(call in text[int(line.split(":")[1]) - 1] for line in lines)


def test_the_limit_bounds_the_file_and_warns(tmp_path: Path) -> None:
    path = tmp_path / "bounded.json"
    with (
        pytest.warns(UserWarning, match=r"lacks \d+ instructions and \d+ launches .* limit of 40 events; trace fewer"),
        torch.mtia_sim.trace(path, limit=40),
    ):
        matmul()
    assert 10 < sum(event["ph"] == "X" for event in events_of(path)) <= 40
    check_format(events_of(path))
    import_into_chrome(path)


def test_results_and_counters_do_not_depend_on_tracing(tmp_path: Path) -> None:
    x = torch.randn(128, 300, device="mtia_sim")
    results, accounts = [], []
    for traced in (False, True):
        torch.mtia_sim.flush_cache()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            trace = torch.mtia_sim.trace(tmp_path / "t.pftrace", pes="all")
            if traced:
                trace.start()
            accounts.append(counters_of(lambda: results.append(torch.softmax(x, 1).cpu())))
            if traced:
                trace.stop()
    assert torch.equal(results[0], results[1])
    # The timeline sums seconds since the process's start: what it holds already moves the last bits of differences.
    for name in ("elapsed_seconds", "busy"):
        assert accounts[0].pop(name) == pytest.approx(accounts[1].pop(name), rel=1e-9)
    assert accounts[0] == accounts[1]


def test_streams_and_devices_have_tracks(tmp_path: Path) -> None:
    path = tmp_path / "streams.json"
    x = torch.randn(50, device="mtia_sim:0")
    stream = torch.mtia_sim.Stream()
    with torch.mtia_sim.trace(path, pes=()):
        x + 1
        with torch.mtia_sim.stream(stream):
            x + 2
        x.to("mtia_sim:1") + 3
    found = {
        (names, event["name"])
        for event in events_of(path)
        for names in [track_names(events_of(path)).get((event["pid"], event["tid"]))]
        if event["ph"] == "X"
    }
    assert found == {
        (("mtia_sim:0", "default stream"), "elementwise_contiguous"),
        (("mtia_sim:0", f"stream {stream.stream_id}"), "elementwise_contiguous"),
        (("mtia_sim:0", "default stream"), "copy_to_peer"),
        (("mtia_sim:1", "default stream"), "copy_from_peer"),
        (("mtia_sim:1", "default stream"), "elementwise_contiguous"),
    }
    import_into_chrome(path)


@pytest.mark.finds
def test_a_failing_launch_is_marked_and_raises_where_it_would(tmp_path: Path) -> None:
    path = tmp_path / "failing.json"
    table = torch.randn(4, 4, device="mtia_sim")
    with torch.mtia_sim.trace(path, pes=[0]):
        torch.nn.functional.embedding(torch.tensor([99], device="mtia_sim"), table)
    with pytest.raises(MtiaError, match="index 99 is out of range of 4 rows"):
        torch.mtia_sim.synchronize()
    failed = [event for event in events_of(path) if event["ph"] == "X" and event["args"].get("failed")]
    assert [event["name"] for event in failed] == ["embedding_forward"]
    check_format(events_of(path))


def test_an_empty_trace_is_a_trace(tmp_path: Path) -> None:
    for name in ("empty.json", "empty.pftrace"):
        with torch.mtia_sim.trace(tmp_path / name):
            pass
        query(tmp_path / name)
    import_into_chrome(tmp_path / "empty.json")


def test_misuse_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"PE 5000 of a chip with \d+.*choose pes from 0 to"):
        torch.mtia_sim.trace(tmp_path / "a.json", pes=[5000])
    with pytest.raises(InvalidArgument, match="there is no folder"):
        torch.mtia_sim.trace(tmp_path / "none" / "a.json")
    with pytest.raises(InvalidArgument, match="a limit of 0 events"):
        torch.mtia_sim.trace(tmp_path / "a.json", limit=0)
    trace = torch.mtia_sim.trace(tmp_path / "a.json")
    with pytest.raises(InvalidArgument, match="was not started"):
        trace.stop()
    trace.start()
    with pytest.raises(InvalidArgument, match="started already"):
        trace.start()
    trace.stop()
