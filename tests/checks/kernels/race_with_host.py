"""A pinned buffer is filled again while its copy to the device is still pending."""

import torch


def launch(wait: bool) -> None:
    batch = torch.zeros(1000).pin_memory()
    first = batch.to("mtia_sim", non_blocking=True)
    if wait:
        torch.mtia_sim.synchronize()
    batch.fill_(1.0)  # found
    second = batch.to("mtia_sim", non_blocking=True)
    torch.mtia_sim.synchronize()
    del first, second


def trigger() -> None:
    launch(wait=False)


def mended() -> None:
    launch(wait=True)
