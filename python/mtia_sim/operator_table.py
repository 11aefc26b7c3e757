"""Registers the operators whose kernels come from a table: the element-wise family."""

from __future__ import annotations

from typing import Any, Protocol

from mtia_sim_kernels.triton.elementwise_table import elementwise_table


class Extension(Protocol):
    """What the table needs of mtia_sim._C."""

    def register_elementwise(self, rows: list[Any]) -> list[str]: ...


def register_elementwise(extension: Extension) -> list[str]:
    """Registers every overload of kernels/triton/elementwise_table.py; returns the names, e.g. "aten::add.Tensor"."""
    return extension.register_elementwise(
        [
            (row.name, row.operands, row.operators, row.promotion == "float", row.result == "bool", row.unpromoted)
            for row in elementwise_table()
        ]
    )
