"""Reductions over strips that give the bits of the whole reduction: the order of additions is that of docs/numerics.md.

A row is reduced in 16 lanes, element i in lane i mod 16, each in ascending order; a column in ascending order. So the
state after a strip is one row of 16 lanes, or one row of columns, and it comes before the rows of the next strip.
"""

from mtia_core.dtypes import DType
from triton_mtia_sim.strips.roles import LANES, NARROW, Kind
from triton_mtia_sim.strips.schedule import Node
from triton_mtia_sim.strips.writing import Writer
from triton_mtia_sim.tiles.machine import Code, Register, Shape

# Combiners whose grouping makes no difference to the bits; among equals these and the reductions keep the later one.
_COMBINE = {
    2: "max_f", 3: "min_f", 4: "maximum_f", 5: "minimum_f", 6: "add_i", 7: "mul_i", 8: "max_s", 9: "max_u", 10: "min_s",
    11: "min_u", 12: "and_i", 13: "or_i", 14: "xor_i",
}  # fmt: skip
_SUMS = (0, 1)


class Accumulators:
    """What is known of each reduction so far, by instruction."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.parts: dict[Node, list[list[Register]]] = {}

    def add(self, node: Node, operands: list[Register | None], strip: int) -> None:
        """Takes in a strip."""
        assert node.plan is not None
        if strip == 0:
            self.parts[node] = []
        if node.plan.kind is Kind.REDUCE:
            self._reduce(node, operands)
        elif node.plan.kind is Kind.REDUCE_INDEX:
            self._reduce_index(node, operands, strip)
        else:
            source, result = operands[0], node.item.results[0]
            assert source is not None and result is not None
            shape = (result.elements // self.writer.count,)
            axis = node.item.attributes[1]
            dropped = (*source.shape[:axis], *source.shape[axis + 1 :])
            made = self.writer.fresh(result.dtype, shape, result)
            view = self.writer.view(made, dropped)
            self.writer.emit(node.item, "reduce", [view], [source], node.item.attributes)
            self.parts[node].append([made])

    def finish(self, node: Node) -> None:
        """Writes the instruction's own results."""
        assert node.plan is not None
        parts = self.parts.pop(node)
        if node.plan.kind is Kind.REDUCE:
            self._finish_reduce(node.item, parts[-1][0])
        elif node.plan.kind is Kind.REDUCE_INDEX:
            self._finish_index(node.item, parts)
        else:
            (result,) = node.item.results
            assert result is not None
            self._join(node.item, [part[0] for part in parts], result)

    # ---- reduce
    def _reduce(self, node: Node, operands: list[Register | None]) -> None:
        item, writer = node.item, self.writer
        source, kind = operands[0], item.attributes[0]
        assert source is not None
        width = self._width(item)
        rows = source.elements // width
        dtype = source.dtype
        if kind in _SUMS and dtype in NARROW:  # kept in float32 from strip to strip
            dtype = DType.F32
            wide = writer.fresh(dtype, source.shape, source)
            writer.emit(item, "convert_f", [wide], [source], (0,))
            source = wide
        source = writer.view(source, (rows, width))
        before = self.parts[node][-1][0] if self.parts[node] else None
        if before is not None and kind in _SUMS:
            joined = writer.fresh(dtype, (rows + 1, width), source)
            writer.emit(item, "concatenate", [joined], [writer.view(before, (1, width)), source], (0,))
            source = joined
        state = writer.fresh(dtype, (width,), source)
        writer.emit(item, "reduce", [state], [source], (kind, 0))
        if before is not None and kind not in _SUMS:
            combined = writer.fresh(dtype, (width,), state)
            writer.emit(item, _COMBINE[kind], [combined], [before, state])
            state = combined
        self.parts[node].append([state])

    def _width(self, item: Code) -> int:
        source = item.operands[0]
        assert source is not None
        columns = source.elements // source.shape[item.attributes[1]]
        return LANES if columns == 1 else columns

    def _finish_reduce(self, item: Code, state: Register) -> None:
        writer = self.writer
        source, result = item.operands[0], item.results[0]
        assert source is not None and result is not None
        kind, axis = item.attributes
        made = result
        if state.dtype is not result.dtype:
            made = writer.fresh(state.dtype, result.shape, result)
        if source.elements == source.shape[axis]:
            row = (*source.shape[:axis], LANES, *source.shape[axis + 1 :])
            writer.emit(item, "reduce", [made], [writer.view(state, row)], (kind, axis))
        elif made is result:
            writer.emit(item, "copy", [result], [writer.view(state, result.shape)])
        else:
            made = writer.view(state, result.shape)
        if made is not result:
            writer.emit(item, "convert_f", [result], [made], (0,))

    # ---- reduce_index
    def _reduce_index(self, node: Node, operands: list[Register | None], strip: int) -> None:
        item, writer = node.item, self.writer
        source, positions = operands[0], operands[1]
        assert source is not None
        elements = source.elements
        if positions is None:
            positions = writer.fresh(DType.I32, (elements,), source)
            writer.emit(item, "iota", [positions], [], (strip * elements,))
        value, index = writer.fresh(source.dtype, (1,), source), writer.fresh(DType.I32, (1,), source)
        rows: list[Register | None] = [writer.view(operand, (1, elements)) for operand in (source, positions)]
        writer.emit(item, "reduce_index", [value, index], rows, (item.attributes[0], 1, item.attributes[2]))
        self.parts[node].append([value, index])

    def _finish_index(self, item: Code, parts: list[list[Register]]) -> None:
        source = item.operands[0]
        assert source is not None
        kind, axis, left = item.attributes
        row: Shape = (*source.shape[:axis], len(parts), *source.shape[axis + 1 :])
        columns: list[Register | None] = []
        for place in (0, 1):
            pieces = [part[place] for part in parts]
            joined = self.writer.fresh(pieces[0].dtype, (len(parts),), source)
            self._join(item, pieces, joined)
            columns.append(self.writer.view(joined, row))
        self.writer.emit(item, "reduce_index", item.results, columns, (kind, axis, left))

    def _join(self, item: Code, pieces: list[Register], result: Register) -> None:
        """Puts equal pieces one after the other, two at a time."""
        writer = self.writer
        while len(pieces) > 1:
            joined = []
            for first, second in zip(pieces[::2], pieces[1::2], strict=True):
                shape = (first.elements + second.elements,)
                last = len(pieces) == 2
                made = writer.view(result, shape) if last else writer.fresh(result.dtype, shape, result)
                flat: list[Register | None] = [writer.view(piece, (piece.elements,)) for piece in (first, second)]
                writer.emit(item, "concatenate", [made], flat, (0,))
                joined.append(made)
            pieces = joined
