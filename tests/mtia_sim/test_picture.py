"""python -m mtia_sim picture: the tracks and names of a trace stand in the picture."""

import json
import re
from pathlib import Path

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from mtia_sim.__main__ import main


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trace") / "softmax.json"
    x = torch.randn(700, 300, device="mtia_sim")
    with torch.mtia_sim.trace(path, pes=[0, 5]):
        torch.softmax(x, 1)
        x + 1
    return path


def picture(trace: Path, target: Path, *words: str) -> int:
    return main(["picture", str(trace), str(target), *words])


def texts(picture: Path) -> list[str]:
    """What matplotlib wrote into an SVG file: each text stands as a comment before its outlines."""
    return [text.strip() for text in re.findall(r"<!--(.*?)-->", picture.read_text(), re.DOTALL)]


def test_every_track_and_counter_has_its_row(trace: Path, tmp_path: Path) -> None:
    assert picture(trace, tmp_path / "all.svg", "--title", "two launches") == 0
    events = json.loads(trace.read_text())["traceEvents"]
    processes = {event["pid"]: event["args"]["name"] for event in events if event["name"] == "process_name"}
    threads = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    used = {(event["pid"], event["tid"]) for event in events if event["ph"] == "X"}
    drawn = texts(tmp_path / "all.svg")
    # Blanks at the ends of a word are drawn apart from it.
    rows = {" ".join(f"{processes[pid]} {threads[pid, tid]}".split()) for pid, tid in used}
    assert rows <= {" ".join(text.split()) for text in drawn}
    assert {"two launches", "softmax_forward", "elementwise_contiguous", "dma_load"} <= set(drawn)
    assert any("SRAM bandwidth" in text for text in drawn)


def test_groups_and_times_choose(trace: Path, tmp_path: Path) -> None:
    events = [event for event in json.loads(trace.read_text())["traceEvents"] if event["name"] == "dma_store"]
    start = min(event["ts"] for event in events)
    part = tmp_path / "part.svg"
    assert picture(trace, part, "--groups", "* PE 5", "--from", str(start), "--to", str(start + 1)) == 0
    drawn = " ".join(texts(part))
    assert "PE 5" in drawn and "PE 0" not in drawn and "default stream" not in drawn and "dma_store" in drawn


def test_a_png_has_the_width_that_was_asked_for(trace: Path, tmp_path: Path) -> None:
    assert picture(trace, tmp_path / "wide.png", "--width", "9") == 0
    data = (tmp_path / "wide.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and int.from_bytes(data[16:20]) == 9 * 110


def test_what_the_profiler_exports_is_drawn_too(tmp_path: Path) -> None:
    x = torch.randn(50, device="mtia_sim")
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.PrivateUse1]) as profiler:
        torch.tanh(x)
    profiler.export_chrome_trace(str(tmp_path / "profile.json"))
    assert picture(tmp_path / "profile.json", tmp_path / "profile.svg") == 0
    assert "elementwise_contiguous" in texts(tmp_path / "profile.svg")


def test_what_cannot_be_drawn_is_said(trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cut.json").write_text(trace.read_text()[:1000])
    (tmp_path / "bytes.pftrace").write_bytes(b"\x0a\xff\xfe")
    for file, words, problem in (
        (trace, ("--groups", "gpu*"), "has no track in a group gpu*"),
        (trace, ("--from", "1e6", "--to", "2e6"), "nothing happens from 1000000.0 to 2000000.0 us"),
        (tmp_path / "absent.json", (), "absent.json is no trace in Chrome's format"),
        (tmp_path / "cut.json", (), "cut.json is no trace in Chrome's format"),
        (tmp_path / "bytes.pftrace", (), "bytes.pftrace is no trace in Chrome's format"),
    ):
        assert picture(file, tmp_path / "none.png", *words) == 2
        assert problem in capsys.readouterr().err and not (tmp_path / "none.png").exists()
