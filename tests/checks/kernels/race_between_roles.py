"""Two roles share a tile without a circular buffer: the second may read what the first has not written yet."""

from pathlib import Path

import torch


def launch(name: str) -> None:
    kernel = torch.mtia_sim.load_kernel(Path(__file__).with_suffix(".cpp"), name=name)
    kernel[1](torch.zeros(512, device="mtia_sim"))
    torch.mtia_sim.synchronize()


def trigger() -> None:
    launch("trigger")


def mended() -> None:
    launch("mended")
