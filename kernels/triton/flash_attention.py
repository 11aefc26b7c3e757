"""Flash attention, forward (Dao 2023, arXiv 2307.08691): softmax(q k^T * scale + mask) v without the matrix in DRAM."""

from __future__ import annotations

import math
import os

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    DTYPE_BYTES,
    Argument,
    ChipLimits,
    Launch,
    Scalar,
    ceil_div,
    index_dtype,
    launch_shape,
    next_power_of_2,
    tensor_arguments,
)


@triton.jit
def dropout_keep(seed, offset, base, row, column, kv_length, probability):
    """Which elements of attention weights survive; by their index [batch, head, row, column], so of no block's size."""
    index = base + row.to(tl.int64) * kv_length + column
    return tl.rand(seed, index + offset) >= probability


@triton.jit
def with_mask(
    dots, factor, mask, row, column, q_length, kv_length, mask_row, mask_column, INDEX: tl.constexpr
):  # fmt: skip
    """Scaled and masked scores in units of log2; `row` and `column` are tiles that broadcast to the scores' shape."""
    inside = (row < q_length) & (column < kv_length)
    values = tl.load(mask + row.to(INDEX) * mask_row + column.to(INDEX) * mask_column, mask=inside, other=0)
    if mask.dtype.element_ty == tl.int1:
        return tl.where(values, dots * factor, -float("inf"))
    else:
        # The lowest number of a dtype masks, but a row of nothing else attends to all its keys alike: in units of log2
        # it must not become an infinity. This bound survives the way to the units of logsumexp and back.
        bias = values.to(tl.float32) * 1.4426950408889634
        bias = tl.maximum(bias, -1.7014118346046923e38, propagate_nan=tl.PropagateNan.ALL)
        return dots * factor + tl.where(values == -float("inf"), -float("inf"), bias)


@triton.jit
def bounded(logits, row, column, kv_length, CAUSAL: tl.constexpr):
    """-inf for keys past the end, and with CAUSAL for those behind the query."""
    if CAUSAL:
        return tl.where((column <= row) & (column < kv_length), logits, -float("inf"))
    else:
        return tl.where(column < kv_length, logits, -float("inf"))


@triton.jit
def item_of(program, programs, processing_elements):
    """Which item of a list sorted by falling cost a program takes. Program i runs on PE i mod n: every other round of
    the PEs goes backwards, so that each PE gets long and short ones."""
    round = program // processing_elements
    first = round * processing_elements
    last = tl.minimum(first + processing_elements, programs) - 1
    return tl.where(round % 2 == 0, program, first + last - program)


@triton.jit
def products(
    query, k, start, kv_length, head_size, k_row, k_column,
    INDEX: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """query k^T of the block of keys at `start`."""
    lane = tl.arange(0, BLOCK_N)
    of_head = tl.arange(0, BLOCK_D)[None, :]
    offsets = lane[:, None].to(INDEX) * k_row + of_head.to(INDEX) * k_column
    inside = (lane[:, None] < kv_length - start) & (of_head < head_size)
    key = tl.load(k + start * tl.full([], 1, tl.int64) * k_row + offsets, mask=inside, other=0.0)
    return tl.dot(query, tl.trans(key), input_precision="ieee")


@triton.jit
def flash_attention_forward(
    out, logsumexp, q, k, v, mask, scale, dropout, seed, offset,
    programs, processing_elements, heads, group, q_blocks, q_length, kv_length, head_size, value_size,
    q_batch, q_head, q_row, q_column, k_batch, k_head, k_row, k_column, v_batch, v_head, v_row, v_column,
    out_batch, out_head, out_row, out_column, mask_batch, mask_head, mask_row, mask_column,
    CAUSAL: tl.constexpr, INDEX: tl.constexpr, STAGES: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    item = item_of(tl.program_id(0), programs, processing_elements)
    of_batch = item % (programs // q_blocks)
    first = (q_blocks - 1 - item // (programs // q_blocks)) * BLOCK_M
    batch = (of_batch // heads).to(tl.int64)
    head = (of_batch % heads).to(tl.int64)
    kv_head = head // group
    lane = tl.arange(0, BLOCK_N)
    row = tl.arange(0, BLOCK_M)[:, None]
    of_head = tl.arange(0, BLOCK_D)[None, :]
    of_value = tl.arange(0, BLOCK_V)[None, :]
    inside = row < q_length - first
    q += batch * q_batch + head * q_head + first.to(tl.int64) * q_row
    k += batch * k_batch + kv_head * k_head
    v += batch * v_batch + kv_head * v_head
    if mask is not None:
        mask += batch * mask_batch + head * mask_head
    offsets = row.to(INDEX) * q_row + of_head.to(INDEX) * q_column
    query = tl.load(q + offsets, mask=inside & (of_head < head_size), other=0.0)
    accumulator = tl.zeros([BLOCK_M, BLOCK_V], tl.float32)
    total = tl.zeros([BLOCK_M], tl.float32)
    largest = tl.full([BLOCK_M], -float("inf"), tl.float32)
    base = of_batch.to(tl.int64) * q_length * kv_length
    # Whole blocks of keys that every row of this block sees, then the blocks at the causal or the last bound.
    whole = kv_length // BLOCK_N * BLOCK_N
    end = kv_length
    if CAUSAL:
        whole = tl.minimum(whole, (first + 1) // BLOCK_N * BLOCK_N)
        end = tl.minimum(kv_length, first + BLOCK_M)
    # From the logits' units to log2: without a mask they are the products themselves, whose largest is that of the
    # scaled ones because scale is positive.
    log2_scale = scale * 1.4426950408889634
    factor = log2_scale
    if mask is not None:
        factor = tl.full([], 1.0, tl.float32)
    # The dot product engine takes its work in order, so the next block's scores are asked for before this block's
    # weights are ready: they are computed while the other units do the softmax.
    dots = products(query, k, 0, kv_length, head_size, k_row, k_column, INDEX, BLOCK_N, BLOCK_D)
    for start in tl.range(0, end, BLOCK_N, num_stages=STAGES):
        column = start + lane[None, :]
        logits = dots
        if mask is not None:
            logits = with_mask(
                dots, log2_scale, mask, first + row, column, q_length, kv_length, mask_row, mask_column, INDEX
            )
        if start >= whole:
            logits = bounded(logits, first + row, column, kv_length, CAUSAL)
        new_largest = tl.maximum(largest, tl.max(logits, axis=1))
        # A row that has seen no key yet has -inf here: -inf - -inf must not make a NaN.
        shift = tl.where(new_largest == -float("inf"), 0.0, new_largest * factor)
        by_factor = tl.broadcast_to(factor, logits.shape)
        weights = tl.exp2(tl.fma(logits, by_factor, tl.broadcast_to(-shift[:, None], logits.shape)))
        decay = tl.exp2(largest * factor - shift)
        largest = new_largest
        if dropout is not None:
            keep = dropout_keep(seed, offset, base, first + row, column, kv_length, dropout)
            kept = tl.where(keep, weights / (1.0 - dropout), 0.0).to(v.dtype.element_ty)
        else:
            kept = weights.to(v.dtype.element_ty)
        sums = tl.sum(weights, axis=1)
        following = start + BLOCK_N
        if following < end:
            dots = products(query, k, following, kv_length, head_size, k_row, k_column, INDEX, BLOCK_N, BLOCK_D)
        else:
            dots = weights  # of no use, and in their place already
        places = lane[:, None].to(INDEX) * v_row + of_value.to(INDEX) * v_column
        seen = (lane[:, None] < kv_length - start) & (of_value < value_size)
        value = tl.load(v + start * tl.full([], 1, tl.int64) * v_row + places, mask=seen, other=0.0)
        accumulator = tl.dot(kept, value, accumulator * decay[:, None], input_precision="ieee")
        total = total * decay + sums
    # A row that may see no key gives 0, and a logsumexp that makes its weights 0 in the backward pass.
    empty = total == 0.0
    result = accumulator * (1.0 / tl.where(empty, 1.0, total))[:, None]
    out += batch * out_batch + head * out_head + first.to(tl.int64) * out_row
    offsets = row.to(INDEX) * out_row + of_value.to(INDEX) * out_column
    tl.store(out + offsets, result.to(out.dtype.element_ty), mask=inside & (of_value < value_size))
    of_row = tl.arange(0, BLOCK_M)
    sums = tl.where(empty, float("inf"), (largest * factor + tl.log2(total)) * 0.6931471805599453)
    logsumexp += of_batch.to(tl.int64) * q_length + first
    tl.store(logsumexp + of_row, sums, mask=of_row < q_length - first)


def key_block(head_size: int, value_size: int, dtype: str, block_bytes: int) -> int:
    """Keys of a block: of the head sizes and dtype alone, because the order of the online softmax depends on it."""
    widest = next_power_of_2(max(head_size, value_size, 16))
    return max(16, min(128, block_bytes // (widest * DTYPE_BYTES[dtype])))


def row_blocks(chip: ChipLimits, dtype: str, loop: int, widths: int) -> tuple[int, ...]:
    """Rows that a program may keep while it walks blocks of `loop` keys or queries, whose two heads have `widths`
    elements: down from 128, or from about as many as keep the dot product engine busy until the next block is there."""
    most = 128.0
    if DTYPE_BYTES[dtype] == 2:
        delivered = 2 * chip.dot_macs_per_cycle / chip.sram_bytes_per_cycle
        # Of double buffers two blocks are on their way.
        late = chip.dram_latency_cycles * chip.dot_macs_per_cycle / (2 * loop * widths)
        most = min(1024.0, max(most, delivered, late))
    return tuple(1 << power for power in range(round(math.log2(most)), 3, -1))


def forward_blocks(
    chip: ChipLimits, dtype: str, q_length: int, head_size: int, value_size: int, plain: bool
) -> dict[str, int]:
    """BLOCK_*, STAGES: the most query rows that fit local memory beside double buffers for keys and values.

    `plain`: without mask and dropout, whose tiles are as large as the scores.
    """
    # Longer blocks rescale less often; in float32 they waste more under the mask than that saves.
    block_n = key_block(head_size, value_size, dtype, (32 if DTYPE_BYTES[dtype] == 2 else 16) * 1024)
    block_d, block_v = next_power_of_2(max(head_size, 16)), next_power_of_2(max(value_size, 16))
    element = DTYPE_BYTES[dtype]
    blocks = {"BLOCK_N": block_n, "BLOCK_D": block_d, "BLOCK_V": block_v}
    for block_m in row_blocks(chip, dtype, block_n, block_d + block_v):
        for stages in (2,) if plain else (2, 1):
            keys = stages * block_n * (block_d + block_v) * element
            rows = block_m * (block_d * element + block_v * 4 + 4 * 8)
            if plain:
                # Keys transposed; scores of this block and the next, and weights as the product takes them.
                needed = keys + block_n * block_d * element + rows + block_m * block_n * (8 + element)
            else:
                needed = keys + rows + block_m * (block_v * 4 + block_n * 4 * 5)
            if needed <= chip.local_memory_bytes and (block_m == 16 or block_m < 2 * q_length):
                return blocks | {"BLOCK_M": block_m, "STAGES": stages}
    return blocks | {"BLOCK_M": 16, "STAGES": 1}


def enough_programs(chip: ChipLimits, block: int, length: int, batches: int, causal: bool) -> int:
    """Halves a block of rows of `length` down to 32 until three quarters of the PEs have work, or twice as many where
    a causal mask makes the first blocks short. Blocks longer than 128 waste at most an eighth under the mask."""
    wanted = chip.processing_elements * 3 // (2 if causal else 4)
    while causal and block > max(128, length // 8):
        block //= 2
    while block > 32 and ceil_div(length, block) * batches < wanted:
        block //= 2
    return block


@launch_shape("flash_attention_forward")
def flash_attention_forward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (out, logsumexp, q, k, v, mask or none), scalars (scale > 0, dropout probability, seed, offset).

    q, k, v, out: [batch, heads, length, head size] in any strides; k and v may have fewer heads, `heads / kv_heads`
    queries share one. logsumexp: contiguous float32 [batch, heads, q length]. mask: bool (True: seen) or floating
    (added), broadcast by strides of 0. Causal is aligned at the first key, as in torch. `sizes` = (batch, heads,
    kv_heads, q_length, kv_length, head_size, value_size, causal, has dropout, then the strides (batch, head, row,
    column) of q, k, v, out, mask).
    """
    batch, heads, kv_heads, q_length, kv_length, head_size, value_size, causal, has_dropout = sizes[:9]
    strides = sizes[9:]
    if len(strides) != 20:
        raise ValueError(
            f"flash_attention_forward got {len(strides)} strides, wants those of q, k, v, out and mask: 20"
        )
    plain = dtypes[5] == "none" and not has_dropout
    blocks = forward_blocks(chip, dtypes[2], q_length, head_size, value_size, plain)
    blocks["BLOCK_M"] = enough_programs(chip, blocks["BLOCK_M"], q_length, batch * heads, bool(causal))
    q_blocks = ceil_div(q_length, blocks["BLOCK_M"])
    arguments = attention_arguments(dtypes[5] != "none", bool(has_dropout), ("q", "k", "v", "out", "mask"), strides)
    arguments |= tensor_arguments(("out", "logsumexp", "q", "k", "v", "mask"), dtypes)
    arguments |= {
        "q_blocks": q_blocks,
        "programs": q_blocks * batch * heads,
        "processing_elements": chip.processing_elements,
    }
    arguments |= {"heads": heads, "group": heads // kv_heads, "q_length": q_length, "kv_length": kv_length}
    arguments |= {"head_size": head_size, "value_size": value_size}
    constexprs = {"CAUSAL": bool(causal), "INDEX": attention_index(strides, q_length, kv_length, blocks), **blocks}
    grid = (q_blocks * batch * heads, 1, 1)
    return Launch(flash_attention_forward, grid, arguments, constexprs, attention_options())


def attention_options() -> dict[str, bool]:
    """MTIA_SIM_ATTENTION_WAITS=1: kernels whose programs wait for their products, as those of FlashAttention-2 do on
    chips that also have products which nobody waits for (dot_waited_fraction of docs/chips.md)."""
    return {"waits_for_products": os.environ.get("MTIA_SIM_ATTENTION_WAITS", "0") not in ("", "0")}


def attention_arguments(
    has_mask: bool, has_dropout: bool, names: tuple[str, ...], strides: tuple[int, ...]
) -> dict[str, Argument]:
    """The scalars and strides that the forward and backward kernels share."""
    arguments: dict[str, Argument] = {"scale": Scalar(0, "fp32")}
    for i, name in enumerate(("dropout", "seed", "offset")):
        arguments[name] = Scalar(1 + i, "fp32" if i == 0 else "i64") if has_dropout else None
    for i, name in enumerate(names):
        for j, dimension in enumerate(("batch", "head", "row", "column")):
            arguments[f"{name}_{dimension}"] = strides[4 * i + j] if name != "mask" or has_mask else 0
    return arguments


def attention_index(strides: tuple[int, ...], q_length: int, kv_length: int, blocks: dict[str, int]) -> tl.dtype:
    """int64 offsets inside a tile where int32 would overflow; the mask is addressed by absolute rows and columns."""
    widest = max(blocks["BLOCK_M"], blocks["BLOCK_N"])
    inside = [widest * strides[i + 2] + 256 * strides[i + 3] for i in range(0, len(strides) - 4, 4)]
    return index_dtype([*inside, q_length * strides[-2] + kv_length * strides[-1]])
