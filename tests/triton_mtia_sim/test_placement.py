"""Places in local memory: what rotates, and that a pipelined loop shares no bytes where there is room."""

from itertools import pairwise

import triton
import triton.language as tl

from mtia_core.program import TileProgram
from triton_mtia_sim.launch import compile_launch


@triton.jit
def pipelined_products(
    query, keys, values, out, length, M: tl.constexpr, N: tl.constexpr, D: tl.constexpr, STAGES: tl.constexpr
):  # fmt: skip
    """The next block's product is asked for while this block's is still worked on."""
    rows = tl.arange(0, M)[:, None]
    columns = tl.arange(0, D)[None, :]
    lanes = tl.arange(0, N)[:, None]
    left = tl.load(query + rows * D + columns)
    total = tl.zeros([M, D], tl.float32)
    scores = tl.dot(left, tl.trans(tl.load(keys + lanes * D + columns)))
    for start in tl.range(0, length, N, num_stages=STAGES):
        weights = tl.exp2(scores - tl.max(scores, axis=1)[:, None])
        narrow = weights.to(tl.bfloat16)
        if start + N < length:
            scores = tl.dot(left, tl.trans(tl.load(keys + (start + N) * D + lanes * D + columns)))
        else:
            scores = weights
        total = tl.dot(narrow, tl.load(values + start * D + lanes * D + columns), total)
    tl.store(out + rows * D + columns, total)


def compiled(m: int, n: int, stages: int) -> TileProgram:
    pointer = "*bf16"
    signature = {"query": pointer, "keys": pointer, "values": pointer, "out": "*fp32", "length": "i32"}
    constants = {"M": m, "N": n, "D": 32, "STAGES": stages}
    return TileProgram.decode(compile_launch(pipelined_products, signature, constants, chip="mtia300").program)


def buffers_of(program: TileProgram, mnemonic: str) -> list[int]:
    """Buffers of the slots that instructions with this mnemonic write."""
    found = []
    for instruction in program.instructions:
        if instruction.mnemonic == mnemonic:
            slot = program.values[instruction.results[0]].slot
            found.append(program.slots[slot].buffers)
    return found


def test_a_product_for_the_next_iteration_rotates():
    """Both products that fill it write the same slot of two buffers; the accumulator has one."""
    assert buffers_of(compiled(64, 64, 2), "dot") == [2, 2, 1]


def test_without_stages_nothing_rotates():
    assert set(buffers_of(compiled(64, 64, 1), "dot") + buffers_of(compiled(64, 64, 1), "dma_load")) == {1}


def test_slots_share_no_bytes_where_there_is_room():
    """And so a loop's next iteration waits for the readers of its own values alone."""
    slots = sorted((slot.offset, slot.offset + slot.bytes * slot.buffers) for slot in compiled(64, 64, 2).slots)
    assert all(end <= begin for (_, end), (begin, _) in pairwise(slots))


def test_slots_share_bytes_where_there_is_none():
    program = compiled(256, 256, 2)
    sizes = [slot.bytes * slot.buffers for slot in program.slots]
    assert sum(sizes) > 524288 >= program.local_memory_bytes
