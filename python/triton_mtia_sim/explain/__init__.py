"""What the compiler made of a kernel, for its author: accesses and why, local memory, instructions, time by line."""

from triton_mtia_sim.explain.report import AccessReport, KernelReport, LineTime, TileReport

__all__ = ["AccessReport", "KernelReport", "LineTime", "TileReport"]
