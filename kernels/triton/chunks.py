"""Tables of chunks as kernels read them: the work of a launch over lists of tensors (launching/chunk_table.h)."""

from __future__ import annotations

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import ChipLimits, block_limit

#: Elements of a chunk where nobody asks for longer ones, ChunkTable::shortest_chunk.
CHUNK = 8192


@triton.jit
def chunk_pointer(row, COLUMN: tl.constexpr, ELEMENT: tl.constexpr):
    """Where the row's chunk begins in a tensor of ELEMENT: the address in a column of the table."""
    return tl.load(row + COLUMN).to(tl.pointer_type(ELEMENT))


@triton.jit
def chunk_number(row, COLUMN: tl.constexpr, COMPUTE: tl.constexpr):
    """The number in a column of the table, whose bits are those of COMPUTE: float32 or float64."""
    bits = tl.load(row + COLUMN)
    if COMPUTE == tl.float64:  # noqa: SIM300 - Triton compares a constexpr this way around
        return bits.to(tl.float64, bitcast=True)
    else:
        return bits.to(tl.int32).to(tl.float32, bitcast=True)


def chunk_pieces(chip: ChipLimits, bytes_per_element: int, chunk: int = CHUNK) -> tuple[int, int]:
    """(BLOCK, PIECES): a chunk whole where its tiles fit local memory, else in pieces."""
    block = min(chunk, block_limit(chip, bytes_per_element, chunk))
    return block, chunk // block
