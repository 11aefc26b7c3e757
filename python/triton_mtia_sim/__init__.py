"""Triton backend of mtia_sim: TTIR to tile programs. Does not import torch, and imports triton only when asked to."""

from typing import Any

offered_runtime: Any = None


def offer_runtime(runtime: Any) -> None:
    """Called by mtia_sim at its import, before anybody needs triton; driver.py takes it up when it is imported."""
    global offered_runtime
    offered_runtime = runtime


def compile_launch(*arguments: Any, **options: Any) -> Any:
    """triton_mtia_sim.launch.compile_launch, imported when first called."""
    from triton_mtia_sim.launch import compile_launch as compile_now

    return compile_now(*arguments, **options)
