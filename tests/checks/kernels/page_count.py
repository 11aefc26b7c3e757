"""Such a reserve could never be served."""

from pathlib import Path

import torch


def launch(pages: int) -> None:
    kernel = torch.mtia_sim.load_kernel(Path(__file__).with_suffix(".cpp"))
    kernel[1](torch.zeros(512, device="mtia_sim"), pages)
    torch.mtia_sim.synchronize()


def trigger() -> None:
    launch(pages=2)


def mended() -> None:
    launch(pages=3)
