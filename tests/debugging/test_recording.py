"""Recordings: launches stored with their memory, replayed in a fresh process, whole, by program and by PE."""

import contextlib
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
import triton
import triton.language as tl

from mtia_core.errors import InvalidArgument, MtiaError, OutOfBounds
from mtia_sim.__main__ import main
from mtia_sim.debugging import recording_file


@triton.jit
def scatter_rows(out, source, index, width, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    place = tl.arange(0, BLOCK)
    target = tl.load(index + row)
    values = tl.load(source + row * width + place, mask=place < width)
    tl.store(out + target * width + place, values * 2, mask=place < width)


def mtia_sim(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "mtia_sim", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def launch(device: torch.device, targets: list[int]) -> torch.Tensor:
    source = torch.randn(6, 40).to(device)
    out = torch.zeros(6, 40).to(device)
    scatter_rows[(6,)](out, source, torch.tensor(targets).to(device), 40, BLOCK=64)
    return out


def record_failure(device: torch.device, path: Path) -> str:
    with pytest.raises(OutOfBounds) as caught, torch.mtia_sim.record(path) as recorder:
        launch(device, [0, 1, 2, 3, 4, 5])
        launch(device, [5, 4, 3, 2_000_000, 1, 0])
    assert recorder.files == [path] and recorder.launches >= 2
    assert any("python -m mtia_sim replay" in note for note in caught.value.__notes__)
    return str(caught.value)


@pytest.mark.finds
def test_a_failing_launch_fails_again_with_the_same_message(device: torch.device, tmp_path: Path) -> None:
    path = tmp_path / "failure.mtia"
    message = record_failure(device, path)
    whole = mtia_sim("replay", path, "--check")
    assert whole.returncode == 0, whole.stdout + whole.stderr
    assert "with the same message" in whole.stdout and message.split(": ", 1)[1] in whole.stdout
    assert "launched by test_recording.py:" in whole.stdout
    other = mtia_sim("replay", path, "--program", "1")
    assert other.returncode == 0 and "failed" not in other.stdout
    guilty = mtia_sim("replay", path, "--program", "3,0,0", "--step")
    assert "failed: OutOfBounds" in guilty.stdout and "program (3, 0, 0)" in guilty.stdout
    steps = [line for line in guilty.stdout.splitlines() if line.startswith("program (3, 0, 0) PE 3 ")]
    assert len(steps) > 5 and "dma_load" in guilty.stdout and "test_recording.py:" in steps[-1]
    assert not any(re.match(r"program \((?!3,)", line) for line in guilty.stdout.splitlines())


def test_a_chosen_launch_leaves_the_same_memory(device: torch.device, tmp_path: Path) -> None:
    path = tmp_path / "second.mtia"
    with torch.mtia_sim.record(path, kernel="scatter_rows", number=1) as recorder:
        launch(device, [0, 1, 2, 3, 4, 5])
        out = launch(device, [5, 4, 3, 2, 1, 0])
        launch(device, [1, 0, 3, 2, 5, 4])
    assert recorder.files == [path] and out.abs().sum().item() > 0
    whole = mtia_sim("replay", path, "--check")
    assert whole.returncode == 0, whole.stdout + whole.stderr
    assert re.search(r"\d+ cycles; all \d+ bytes that it touched are as recorded", whole.stdout)
    part = mtia_sim("replay", path, "--pe", "2")
    assert part.returncode == 0 and "a part of the grid" in part.stdout
    # A recording that says otherwise is told from one that repeats.
    recording = recording_file.read(path)
    changed = [(a, b, bytes([after[0] ^ 1]) + after[1:] if after else after) for a, b, after in recording["pages"]]
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    contents["memory.after"] = b"".join(after for _, _, after in changed)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    other = mtia_sim("replay", path, "--check")
    assert other.returncode == 1 and "bytes differ" in other.stdout


@pytest.mark.parametrize("checked", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_cpp_kernel_is_recorded_and_replayed(device: torch.device, tmp_path: Path, checked: bool) -> None:
    path = tmp_path / "gemm.mtia"
    a, b = torch.randn(70, 50).to(device), torch.randn(50, 30).to(device)
    with torch.mtia_sim.check() if checked else contextlib.nullcontext(), torch.mtia_sim.record(path, kernel="gemm"):
        a @ b
    whole = mtia_sim("replay", path, "--check")
    assert whole.returncode == 0, whole.stdout + whole.stderr
    assert "kernel gemm, launched by aten::matmul: aten::mm at test_recording.py:" in whole.stdout
    assert mtia_sim("replay", path, "--pe", "0").returncode == 0
    refused = mtia_sim("replay", path, "--program", "0")
    assert refused.returncode == 2 and "C++ kernel" in refused.stderr


ROLES = """
#include <mtia/kernel.h>
using namespace mtia;
struct Arguments { Tensor<float, 1> x; };
MTIA_ARGUMENTS(Arguments, x);
void role(ProcessingElement& pe, const Arguments& arguments) {
  auto tile = pe.allocate<Tile<float, 1, 16>>();
  Tensor<float, 1> longer = arguments.x;
  if (pe.index() == 1) longer.sizes[0] += 1 << 20;
  pe.load(tile, longer.at(pe.index() * (1 << 19)));
}
MTIA_KERNEL(roles, role);
"""


@pytest.mark.finds
def test_one_pe_of_a_kernel_of_roles_is_replayed_alone(device: torch.device, tmp_path: Path) -> None:
    path, source = tmp_path / "roles.mtia", tmp_path / "roles.cpp"
    source.write_text(ROLES)
    with pytest.raises(OutOfBounds), torch.mtia_sim.record(path):
        torch.mtia_sim.load_kernel(source)[2](torch.zeros(16, device=device))
        torch.mtia_sim.synchronize()
    whole = mtia_sim("replay", path, "--check")
    assert whole.returncode == 0 and "role role on PE 1" in whole.stdout, whole.stdout + whole.stderr
    innocent = mtia_sim("replay", path, "--pe", "0")
    assert innocent.returncode == 0 and "failed" not in innocent.stdout, innocent.stdout
    assert "role role on PE 1" in mtia_sim("replay", path, "--pe", "1").stdout


def test_the_environment_records_the_first_failure(tmp_path: Path) -> None:
    path = tmp_path / "environment.mtia"
    script = (
        "import torch\n"
        "table = torch.randn(4, 8).to('mtia_sim')\n"
        "torch.nn.functional.embedding(torch.tensor([3]).to('mtia_sim'), table)\n"
        "torch.nn.functional.embedding(torch.tensor([999999]).to('mtia_sim'), table).cpu()\n"
    )
    environment = {**os.environ, "MTIA_SIM_RECORD": str(path)}
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=300)
    assert run.returncode != 0 and path.exists(), run.stderr
    again = mtia_sim("replay", path, "--check")
    assert again.returncode == 0 and "same message" in again.stdout, again.stdout + again.stderr


@triton.jit
def add_parts(out, parts, written, BLOCK: tl.constexpr):
    place = tl.arange(0, BLOCK)
    tl.store(out + place, tl.load(out + place) + tl.load(parts + place))
    tl.store(written + tl.program_id(0), 1.0)


@pytest.mark.finds
@pytest.mark.parametrize(
    ("programs", "width", "error"), [(2, 64, "DataRace"), (1, 64, "UninitialisedRead"), (1, 50, "OutOfBounds")]
)
def test_findings_of_checked_mode_are_recorded_and_found_again(
    device: torch.device, tmp_path: Path, programs: int, width: int, error: str
) -> None:
    path = tmp_path / "finding.mtia"
    with pytest.raises(MtiaError) as caught, torch.mtia_sim.check(), torch.mtia_sim.record(path) as recorder:
        empty = torch.empty(64, device=device)
        parts = torch.zeros(64, device=device) if programs > 1 else empty
        add_parts[(programs,)](torch.zeros(width, device=device), parts, torch.zeros(2, device=device), BLOCK=64)
        torch.mtia_sim.synchronize()
    assert type(caught.value).__name__ == error and recorder.files == [path]
    whole = mtia_sim("replay", path, "--check")
    assert f"failed: {error}: kernel add_parts, program" in whole.stdout, whole.stdout + whole.stderr
    if error != "DataRace":  # there, which of two programs comes second is up to the host's threads
        assert whole.returncode == 0 and "with the same message" in whole.stdout
    assert "test_recording.py:" in whole.stdout


@pytest.mark.finds
def test_damaged_recordings_are_refused_in_a_sentence(device: torch.device, tmp_path: Path) -> None:
    path = tmp_path / "whole.mtia"
    record_failure(device, path)
    data = path.read_bytes()
    damaged = tmp_path / "damaged.mtia"
    for bad in (data[: len(data) // 2], b"", b"PK" + data[5:], data[:200] + bytes([data[200] ^ 0xFF]) + data[201:]):
        damaged.write_bytes(bad)
        with pytest.raises(InvalidArgument, match="record the launch again"):
            recording_file.read(damaged)
    with pytest.raises(InvalidArgument, match="no such file"):
        recording_file.read(tmp_path / "absent.mtia")
    # Bytes of the directory at the archive's end (compression methods, flags, sizes, names) turned over.
    directory = data.index(b"PK\x01\x02")
    refusals = 0
    for place in range(directory, len(data), 7):
        damaged.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
        try:
            recording_file.read(damaged)
        except InvalidArgument as error:
            refusals += 1
            assert "record the launch again" in str(error)
    assert refusals > 5
    method = data[: directory + 10] + b"\x63\x00" + data[directory + 12 :]
    damaged.write_bytes(method)
    refused = mtia_sim("replay", damaged)
    assert refused.returncode == 2 and "compression method" in refused.stderr and "Traceback" not in refused.stderr
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(contents["manifest.json"])
    manifest["format"] = 99
    with zipfile.ZipFile(damaged, "w") as archive:
        for name, item in contents.items():
            archive.writestr(name, json.dumps(manifest) if name == "manifest.json" else item)
    with pytest.raises(InvalidArgument, match="format 99"):
        recording_file.read(damaged)
    refused = mtia_sim("replay", damaged)
    assert refused.returncode == 2 and "format 99" in refused.stderr and "Traceback" not in refused.stderr


@pytest.mark.parametrize("program", ["", "x", "1,-2", "1,2,3,4"])
def test_what_is_no_program_id_is_refused(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["replay", "launch.mtia", f"--program={program}"])
    assert f"{program!r} is no program id; give X, X,Y or X,Y,Z" in capsys.readouterr().err


def test_a_launch_that_touches_too_much_is_refused_with_the_remedy(device: torch.device, tmp_path: Path) -> None:
    values = torch.randn(1 << 18).to(device)
    with pytest.raises(InvalidArgument, match="raise max_bytes"):
        with torch.mtia_sim.record(tmp_path / "large.mtia", number=0, max_bytes=1 << 16):
            values + 1
        torch.mtia_sim.synchronize()
    with (
        pytest.raises(InvalidArgument, match="none of"),
        torch.mtia_sim.record(tmp_path / "none.mtia", kernel="absent"),
    ):
        values + 1


def test_the_command_line_explains_itself() -> None:
    text = mtia_sim("--help")
    assert text.returncode == 0 and "replay" in text.stdout
    text = mtia_sim("replay", "--help")
    assert text.returncode == 0 and "--program" in text.stdout and "--step" in text.stdout
