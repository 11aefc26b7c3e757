"""Checked mode's own memory does not grow with the number of steps."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import sys
from pathlib import Path

import torch
from torch import nn

def resident_mib():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024

torch.manual_seed(0)
side = torch.mtia_sim.Stream()
model = nn.Sequential(nn.Embedding(64, 32), nn.TransformerEncoderLayer(32, 2, 64, batch_first=True), nn.Linear(32, 64))
model.to("mtia_sim")
optimizer = torch.optim.AdamW(model.parameters())
for step in range(int(sys.argv[1])):
    length = 8 + step % 23  # no two steps in a row allocate the same
    tokens = torch.randint(64, (2, length)).pin_memory().to("mtia_sim", non_blocking=True)
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten())
    loss.backward()
    optimizer.step()
    with torch.mtia_sim.stream(side):
        side.wait_stream(torch.mtia_sim.default_stream())
        copy = loss.detach() * 2
    torch.mtia_sim.default_stream().wait_stream(side)
    del copy
    if (step + 1) % 100 == 0:
        print(step + 1, resident_mib(), loss.item(), len(torch.mtia_sim.findings()), flush=True)
"""


@pytest.mark.slow
def test_500_steps_take_what_200_take() -> None:
    """Until about step 200 freed memory is kept from reuse, so that new device memory is touched; then it is full."""
    environment = {**os.environ, "MTIA_SIM_CHECK": "1"}
    command = [sys.executable, "-c", SCRIPT, "500"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    rows = [[float(number) for number in line.split()] for line in done.stdout.splitlines()]
    resident = {step: mib for step, mib, _, _ in rows}
    assert resident[500] < resident[200] + 8, done.stdout
    assert rows[-1][3] == 0
