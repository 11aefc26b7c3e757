"""Scans along the dimension that is cut: each strip goes on from the last row of the strip before it.

A scan has one operation an element, in order, so that the bits are those of the whole scan. Narrow floats carry float32
from row to row (docs/numerics.md), and so from strip to strip.
"""

from mtia_core.dtypes import DType
from triton_mtia_sim.strips.roles import NARROW, cut_dimension
from triton_mtia_sim.strips.schedule import Node
from triton_mtia_sim.strips.writing import Writer
from triton_mtia_sim.tiles.machine import Code, Register, Shape


class Scans:
    """The last row of each scan so far, by instruction."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.carried: dict[Node, Register] = {}

    def add(self, node: Node, source: Register, result: Register, first: bool) -> None:
        """Scans a strip; `first`: no other one comes before it in the order of the scan."""
        item, writer = node.item, self.writer
        _, axis, reverse = item.attributes
        assert axis == cut_dimension(result.shape) or result.shape[axis] == 1
        rows = source.shape[axis]
        dtype = DType.F32 if source.dtype in NARROW else source.dtype
        if dtype is not source.dtype:
            wide = writer.fresh(dtype, source.shape, source)
            writer.emit(item, "convert_f", [wide], [source], (0,))
            source = wide
        if not first:
            parts: list[Register | None] = [self.carried[node], source]
            source = writer.fresh(dtype, _with_rows(source.shape, axis, rows + 1), source)
            writer.emit(item, "concatenate", [source], parts[::-1] if reverse else parts, (axis,))
        scanned = result
        if not first or dtype is not result.dtype:
            scanned = writer.fresh(dtype, source.shape, result)
        writer.emit(item, "scan", [scanned], [source], item.attributes)
        self.carried[node] = self._rows(item, scanned, axis, 0 if reverse else source.shape[axis] - 1, 1)
        if not first:
            own = result if dtype is result.dtype else None
            scanned = self._rows(item, scanned, axis, 0 if reverse else 1, rows, own)
        if dtype is not result.dtype:
            writer.emit(item, "convert_f", [result], [scanned], (0,))

    def _rows(
        self, item: Code, tile: Register, axis: int, start: int, count: int, result: Register | None = None
    ) -> Register:
        if result is None:
            result = self.writer.fresh(tile.dtype, _with_rows(tile.shape, axis, count), tile)
        self.writer.emit(item, "slice", [result], [tile], (axis, start, 1))
        return result


def _with_rows(shape: Shape, axis: int, rows: int) -> Shape:
    return (*shape[:axis], rows, *shape[axis + 1 :])
