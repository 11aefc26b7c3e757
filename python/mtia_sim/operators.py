"""Loads what C++ operators need of Python: the element-wise table and the compiler of launch plans."""

from __future__ import annotations

from typing import Any

from mtia_sim.launch_bridge import LaunchBridge
from mtia_sim_kernels.triton.elementwise_table import elementwise_table

_bridge: LaunchBridge | None = None


def initialise(extension: Any) -> None:
    """Called once when the device is first used."""
    global _bridge
    _bridge = LaunchBridge(extension)
    extension.set_plan_compiler(_bridge.plan)
    extension.register_elementwise(
        [
            (
                row.name,
                row.operands,
                row.operators,
                row.promotion == "float",
                row.result == "bool",
                row.unpromoted,
                row.complex is not None,
                row.complex_result == "real",
            )
            for row in elementwise_table()
        ]
    )
