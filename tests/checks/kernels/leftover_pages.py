"""A role ends before it has taken all that was pushed."""

from pathlib import Path

import torch


def launch(taken: int) -> None:
    kernel = torch.mtia_sim.load_kernel(Path(__file__).with_suffix(".cpp"))
    kernel[1](torch.zeros(512, device="mtia_sim"), taken)
    torch.mtia_sim.synchronize()


def trigger() -> None:
    launch(taken=2)


def mended() -> None:
    launch(taken=3)
