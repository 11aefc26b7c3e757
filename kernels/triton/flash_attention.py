"""Flash attention, forward (Dao 2023, arXiv 2307.08691): softmax(q k^T * scale + mask) v without the matrix in DRAM."""

from __future__ import annotations

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    DTYPE_BYTES,
    Argument,
    ChipLimits,
    Launch,
    Scalar,
    Tensor,
    ceil_div,
    index_dtype,
    launch_shape,
    next_power_of_2,
)


@triton.jit
def dropout_keep(seed, offset, base, row, column, kv_length, probability):
    """Which elements of attention weights survive; by their index [batch, head, row, column], so of no block's size."""
    index = base + row.to(tl.int64) * kv_length + column
    return tl.rand(seed, index + offset) >= probability


@triton.jit
def scores(
    dots, scale, mask, row, column, q_length, kv_length, mask_row, mask_column,
    BOUNDED: tl.constexpr, CAUSAL: tl.constexpr, INDEX: tl.constexpr,
):  # fmt: skip
    """Scaled and masked scores in units of log2; `row` and `column` are tiles that broadcast to the scores' shape."""
    logits = dots * (scale * 1.4426950408889634)
    if mask is not None:
        inside = (row < q_length) & (column < kv_length)
        values = tl.load(mask + row.to(INDEX) * mask_row + column.to(INDEX) * mask_column, mask=inside, other=0)
        if mask.dtype.element_ty == tl.int1:
            logits = tl.where(values, logits, -float("inf"))
        else:
            logits += values.to(tl.float32) * 1.4426950408889634
    if BOUNDED:
        if CAUSAL:
            logits = tl.where((column <= row) & (column < kv_length), logits, -float("inf"))
        else:
            logits = tl.where(column < kv_length, logits, -float("inf"))
    return logits


@triton.jit
def attend(
    accumulator, total, largest, query, k, v, mask, begin, end, first_row, q_length, kv_length, head_size, value_size,
    k_row, k_column, v_row, v_column, mask_row, mask_column, scale, dropout, seed, offset, base,
    BOUNDED: tl.constexpr, CAUSAL: tl.constexpr, INDEX: tl.constexpr, STAGES: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """The online softmax over the keys [begin, end); BOUNDED where the causal or the last bound may cut a block."""
    lane = tl.arange(0, BLOCK_N)
    row = first_row + tl.arange(0, BLOCK_M)[:, None]
    of_head = tl.arange(0, BLOCK_D)[None, :]
    of_value = tl.arange(0, BLOCK_V)[None, :]
    for start in tl.range(begin, end, BLOCK_N, num_stages=STAGES):
        wide = start * tl.full([], 1, tl.int64)
        inside = lane[:, None] < kv_length - start
        offsets = lane[:, None].to(INDEX) * k_row + of_head.to(INDEX) * k_column
        key = tl.load(k + wide * k_row + offsets, mask=inside & (of_head < head_size), other=0.0)
        offsets = lane[:, None].to(INDEX) * v_row + of_value.to(INDEX) * v_column
        value = tl.load(v + wide * v_row + offsets, mask=inside & (of_value < value_size), other=0.0)
        column = start + lane[None, :]
        dots = tl.dot(query, tl.trans(key), input_precision="ieee")
        logits = scores(
            dots, scale, mask, row, column, q_length, kv_length, mask_row, mask_column, BOUNDED, CAUSAL, INDEX
        )
        new_largest = tl.maximum(largest, tl.max(logits, axis=1))
        # A row that has seen no key yet has -inf here: -inf - -inf must not make a NaN.
        shift = tl.where(new_largest == -float("inf"), 0.0, new_largest)
        weights = tl.exp2(logits - shift[:, None])
        decay = tl.exp2(largest - shift)
        total = total * decay + tl.sum(weights, axis=1)
        if dropout is not None:
            keep = dropout_keep(seed, offset, base, row, column, kv_length, dropout)
            weights = tl.where(keep, weights / (1.0 - dropout), 0.0)
        accumulator = accumulator * decay[:, None]
        accumulator = tl.dot(weights.to(value.dtype), value, accumulator, input_precision="ieee")
        largest = new_largest
    return accumulator, total, largest


@triton.jit
def own_block(program, blocks, processing_elements, CAUSAL: tl.constexpr):
    """Which block of its head a program takes. Program i runs on PE i mod n: where a causal mask makes the first blocks
    short, every other round of the PEs goes backwards, so that each gets long and short ones."""
    block = blocks - 1 - program % blocks
    if CAUSAL:
        round_of_head = program // blocks * blocks // processing_elements
        block = tl.where(round_of_head % 2 == 0, block, program % blocks)
    return block


@triton.jit
def flash_attention_forward(
    out, logsumexp, q, k, v, mask, scale, dropout, seed, offset,
    q_blocks, processing_elements, heads, group, q_length, kv_length, head_size, value_size,
    q_batch, q_head, q_row, q_column, k_batch, k_head, k_row, k_column, v_batch, v_head, v_row, v_column,
    out_batch, out_head, out_row, out_column, mask_batch, mask_head, mask_row, mask_column,
    CAUSAL: tl.constexpr, INDEX: tl.constexpr, STAGES: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0)
    of_batch = program // q_blocks
    first = own_block(program, q_blocks, processing_elements, CAUSAL) * BLOCK_M
    batch = (of_batch // heads).to(tl.int64)
    head = (of_batch % heads).to(tl.int64)
    kv_head = head // group
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
    accumulator, total, largest = attend(
        accumulator, total, largest, query, k, v, mask, 0, whole, first, q_length, kv_length, head_size, value_size,
        k_row, k_column, v_row, v_column, mask_row, mask_column, scale, dropout, seed, offset, base,
        False, CAUSAL, INDEX, STAGES, BLOCK_M, BLOCK_N, BLOCK_D, BLOCK_V,
    )  # fmt: skip
    accumulator, total, largest = attend(
        accumulator, total, largest, query, k, v, mask, whole, end, first, q_length, kv_length, head_size, value_size,
        k_row, k_column, v_row, v_column, mask_row, mask_column, scale, dropout, seed, offset, base,
        True, CAUSAL, INDEX, STAGES, BLOCK_M, BLOCK_N, BLOCK_D, BLOCK_V,
    )  # fmt: skip
    # A row that may see no key gives 0, and a logsumexp that makes its weights 0 in the backward pass.
    empty = total == 0.0
    result = accumulator * (1.0 / tl.where(empty, 1.0, total))[:, None]
    out += batch * out_batch + head * out_head + first.to(tl.int64) * out_row
    offsets = row.to(INDEX) * out_row + of_value.to(INDEX) * out_column
    tl.store(out + offsets, result.to(out.dtype.element_ty), mask=inside & (of_value < value_size))
    lane = tl.arange(0, BLOCK_M)
    sums = tl.where(empty, float("inf"), (largest + tl.log2(total)) * 0.6931471805599453)
    logsumexp += of_batch.to(tl.int64) * q_length + first
    tl.store(logsumexp + lane, sums, mask=lane < q_length - first)


def key_block(head_size: int, value_size: int, dtype: str) -> int:
    """Keys of a block: of the head sizes and dtype alone, because the order of the online softmax depends on it."""
    widest = next_power_of_2(max(head_size, value_size, 16))
    return max(16, min(128, 16 * 1024 // (widest * DTYPE_BYTES[dtype])))


def forward_blocks(chip: ChipLimits, dtype: str, q_length: int, head_size: int, value_size: int) -> dict[str, int]:
    """BLOCK_*, STAGES: the most query rows, then double buffers for keys and values, that fit local memory."""
    block_n = key_block(head_size, value_size, dtype)
    block_d, block_v = next_power_of_2(max(head_size, 16)), next_power_of_2(max(value_size, 16))
    element = DTYPE_BYTES[dtype]
    blocks = {"BLOCK_N": block_n, "BLOCK_D": block_d, "BLOCK_V": block_v}
    for block_m in (128, 64, 32, 16):
        for stages in (2, 1):
            keys = stages * block_n * (block_d + block_v) * element
            rows = block_m * (block_d * element + 2 * block_v * 4 + 4 * 8)
            squares = block_m * block_n * 4 * 5
            if keys + rows + squares <= chip.local_memory_bytes and (block_m == 16 or block_m < 2 * q_length):
                return blocks | {"BLOCK_M": block_m, "STAGES": stages}
    return blocks | {"BLOCK_M": 16, "STAGES": 1}


def enough_programs(chip: ChipLimits, block: int, length: int, batches: int) -> int:
    """Halves a block of rows of `length` down to 32 until three quarters of the PEs have work."""
    while block > 32 and ceil_div(length, block) * batches < chip.processing_elements * 3 // 4:
        block //= 2
    return block


@launch_shape("flash_attention_forward")
def flash_attention_forward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (out, logsumexp, q, k, v, mask or none), scalars (scale, dropout probability, seed, offset).

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
    blocks = forward_blocks(chip, dtypes[2], q_length, head_size, value_size)
    blocks["BLOCK_M"] = enough_programs(chip, blocks["BLOCK_M"], q_length, batch * heads)
    q_blocks = ceil_div(q_length, blocks["BLOCK_M"])
    arguments = attention_arguments(dtypes[5] != "none", bool(has_dropout), ("q", "k", "v", "out", "mask"), strides)
    arguments |= {"out": Tensor(0), "logsumexp": Tensor(1), "q": Tensor(2), "k": Tensor(3), "v": Tensor(4)}
    arguments |= {"mask": Tensor(5) if dtypes[5] != "none" else None, "q_blocks": q_blocks}
    arguments |= {"processing_elements": chip.processing_elements}
    arguments |= {"heads": heads, "group": heads // kv_heads, "q_length": q_length, "kv_length": kv_length}
    arguments |= {"head_size": head_size, "value_size": value_size}
    constexprs = {"CAUSAL": bool(causal), "INDEX": attention_index(strides, q_length, kv_length, blocks), **blocks}
    return Launch(flash_attention_forward, (q_blocks * batch * heads, 1, 1), arguments, constexprs)


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
