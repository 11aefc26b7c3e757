"""Flash attention, backward: the weights are recomputed from logsumexp; keys and queries each sum in one program."""

from __future__ import annotations

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    DTYPE_BYTES,
    Argument,
    ChipLimits,
    Launch,
    Tensor,
    Workspace,
    ceil_div,
    launch_shape,
    next_power_of_2,
)
from mtia_sim_kernels.triton.flash_attention import (
    attention_arguments,
    attention_index,
    attention_options,
    bounded,
    dropout_keep,
    enough_programs,
    item_of,
    key_block,
    products,
    row_blocks,
    with_mask,
)


@triton.jit
def shifted_scores(
    dots, scale, shift, mask, row, column, q_length, kv_length, mask_row, mask_column, INDEX: tl.constexpr
):  # fmt: skip
    """Scores in units of log2, less `shift`."""
    factor = scale * 1.4426950408889634
    if mask is not None:
        dots = with_mask(dots, factor, mask, row, column, q_length, kv_length, mask_row, mask_column, INDEX)
        return dots - shift
    else:
        return tl.fma(dots, tl.broadcast_to(factor, dots.shape), tl.broadcast_to(-shift, dots.shape))


@triton.jit
def flash_attention_backward_queries(
    grad_q, delta, q, k, v, out, grad_out, logsumexp, mask, scale, dropout, seed, offset,
    programs, processing_elements, heads, group, q_blocks, q_length, kv_length, head_size, value_size,
    q_batch, q_head, q_row, q_column, k_batch, k_head, k_row, k_column, v_batch, v_head, v_row, v_column,
    grad_batch, grad_head, grad_row, grad_column, out_batch, out_head, out_row, out_column,
    grad_q_batch, grad_q_head, grad_q_row, grad_q_column, mask_batch, mask_head, mask_row, mask_column,
    CAUSAL: tl.constexpr, INDEX: tl.constexpr, STAGES: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """One program: the gradient of a block of queries, over all keys, and delta, the row sums of out * grad_out."""
    item = item_of(tl.program_id(0), programs, processing_elements)
    of_batch = item % (programs // q_blocks)
    first = (q_blocks - 1 - item // (programs // q_blocks)) * BLOCK_M
    batch = (of_batch // heads).to(tl.int64)
    head = (of_batch % heads).to(tl.int64)
    kv_head = head // group
    row = tl.arange(0, BLOCK_M)[:, None]
    lane = tl.arange(0, BLOCK_N)
    of_head = tl.arange(0, BLOCK_D)[None, :]
    of_value = tl.arange(0, BLOCK_V)[None, :]
    inside = row < q_length - first
    wide = first.to(tl.int64)
    offsets = row.to(INDEX) * q_row + of_head.to(INDEX) * q_column
    source = q + batch * q_batch + head * q_head + wide * q_row
    query = tl.load(source + offsets, mask=inside & (of_head < head_size), other=0.0)
    seen = inside & (of_value < value_size)
    offsets = row.to(INDEX) * grad_row + of_value.to(INDEX) * grad_column
    source = grad_out + batch * grad_batch + head * grad_head + wide * grad_row
    grad = tl.load(source + offsets, mask=seen, other=0.0)
    offsets = row.to(INDEX) * out_row + of_value.to(INDEX) * out_column
    source = out + batch * out_batch + head * out_head + wide * out_row
    output = tl.load(source + offsets, mask=seen, other=0.0)
    of_rows = of_batch.to(tl.int64) * q_length + wide
    query_lane = tl.arange(0, BLOCK_M)
    query_inside = query_lane < q_length - first
    delta_of_row = tl.sum(output.to(tl.float32) * grad.to(tl.float32), axis=1)
    tl.store(delta + of_rows + query_lane, delta_of_row, mask=query_inside)
    # A query past the end has an infinite sum, so weights of 0.
    sum_of_row = tl.load(logsumexp + of_rows + query_lane, mask=query_inside, other=float("inf"))
    sum_of_row = (sum_of_row * 1.4426950408889634)[:, None]
    base = of_batch.to(tl.int64) * q_length * kv_length
    k += batch * k_batch + kv_head * k_head
    v += batch * v_batch + kv_head * v_head
    if mask is not None:
        mask += batch * mask_batch + head * mask_head
    sum_q = tl.zeros([BLOCK_M, BLOCK_D], tl.float32)
    # Blocks of keys from `whole` on hold some that not every query sees.
    whole = kv_length // BLOCK_N * BLOCK_N
    end = kv_length
    if CAUSAL:
        whole = tl.minimum(whole, (first + 1) // BLOCK_N * BLOCK_N)
        end = tl.minimum(kv_length, first + BLOCK_M)
    # As in the forward pass: the next block's scores are asked for before this block's gradient is ready.
    dots = products(query, k, 0, kv_length, head_size, k_row, k_column, INDEX, BLOCK_N, BLOCK_D)
    for start in tl.range(0, end, BLOCK_N, num_stages=STAGES):
        skipped = start * tl.full([], 1, tl.int64)
        key_inside = lane[:, None] < kv_length - start
        places = lane[:, None].to(INDEX) * v_row + of_value.to(INDEX) * v_column
        value = tl.load(v + skipped * v_row + places, mask=key_inside & (of_value < value_size), other=0.0)
        grad_weights = tl.dot(grad, tl.trans(value), input_precision="ieee")
        column = start + lane[None, :]
        logits = shifted_scores(
            dots, scale, sum_of_row, mask, first + row, column, q_length, kv_length, mask_row, mask_column, INDEX
        )
        if start >= whole:
            logits = bounded(logits, first + row, column, kv_length, CAUSAL)
        weights = tl.exp2(logits)
        if dropout is not None:
            keep = dropout_keep(seed, offset, base, first + row, column, kv_length, dropout)
            grad_weights = tl.where(keep, grad_weights / (1.0 - dropout), 0.0)
        grad_logits = weights * (grad_weights - delta_of_row[:, None])
        narrow = grad_logits.to(k.dtype.element_ty)
        following = start + BLOCK_N
        if following < end:
            dots = products(query, k, following, kv_length, head_size, k_row, k_column, INDEX, BLOCK_N, BLOCK_D)
        else:
            dots = grad_logits  # of no use, and in their place already
        places = lane[:, None].to(INDEX) * k_row + of_head.to(INDEX) * k_column
        key = tl.load(k + skipped * k_row + places, mask=key_inside & (of_head < head_size), other=0.0)
        sum_q = tl.dot(narrow, key, sum_q, input_precision="ieee")
    target = grad_q + batch * grad_q_batch + head * grad_q_head + wide * grad_q_row
    offsets = row.to(INDEX) * grad_q_row + of_head.to(INDEX) * grad_q_column
    tl.store(target + offsets, (sum_q * scale).to(grad_q.dtype.element_ty), mask=inside & (of_head < head_size))


@triton.jit
def flash_attention_backward_keys(
    grad_k, grad_v, q, k, v, grad_out, logsumexp, delta, mask, scale, dropout, seed, offset,
    programs, processing_elements, heads, kv_heads, group, kv_blocks, q_length, kv_length, head_size, value_size,
    q_batch, q_head, q_row, q_column, k_batch, k_head, k_row, k_column, v_batch, v_head, v_row, v_column,
    grad_batch, grad_head, grad_row, grad_column, grad_k_batch, grad_k_head, grad_k_row, grad_k_column,
    grad_v_batch, grad_v_head, grad_v_row, grad_v_column, mask_batch, mask_head, mask_row, mask_column,
    CAUSAL: tl.constexpr, INDEX: tl.constexpr, STAGES: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_V: tl.constexpr,
):  # fmt: skip
    """One program: the gradients of a block of keys and values, over all queries of all heads that share them."""
    item = item_of(tl.program_id(0), programs, processing_elements)
    of_batch = item % (programs // kv_blocks)
    first = item // (programs // kv_blocks) * BLOCK_N
    batch = (of_batch // kv_heads).to(tl.int64)
    kv_head = (of_batch % kv_heads).to(tl.int64)
    lane = tl.arange(0, BLOCK_N)[:, None]
    query_lane = tl.arange(0, BLOCK_M)
    of_head = tl.arange(0, BLOCK_D)[None, :]
    of_value = tl.arange(0, BLOCK_V)[None, :]
    inside = lane < kv_length - first
    wide = first.to(tl.int64)
    source = k + batch * k_batch + kv_head * k_head + wide * k_row
    offsets = lane.to(INDEX) * k_row + of_head.to(INDEX) * k_column
    key = tl.load(source + offsets, mask=inside & (of_head < head_size), other=0.0)
    source = v + batch * v_batch + kv_head * v_head + wide * v_row
    offsets = lane.to(INDEX) * v_row + of_value.to(INDEX) * v_column
    value = tl.load(source + offsets, mask=inside & (of_value < value_size), other=0.0)
    sum_k = tl.zeros([BLOCK_N, BLOCK_D], tl.float32)
    sum_v = tl.zeros([BLOCK_N, BLOCK_V], tl.float32)
    column = first + lane
    begin = 0
    if CAUSAL:
        begin = first // BLOCK_M * BLOCK_M
    for member in range(group):
        head = kv_head * group + member
        of_head_batch = batch * heads + head
        base = of_head_batch * q_length * kv_length
        queries = q + batch * q_batch + head * q_head
        grads = grad_out + batch * grad_batch + head * grad_head
        sums = logsumexp + of_head_batch * q_length
        deltas = delta + of_head_batch * q_length
        bias = mask
        if mask is not None:
            bias = mask + batch * mask_batch + head * mask_head
        dots = products(key, queries, begin, q_length, head_size, q_row, q_column, INDEX, BLOCK_M, BLOCK_D)
        for start in tl.range(begin, q_length, BLOCK_M, num_stages=STAGES):
            skipped = start * tl.full([], 1, tl.int64)
            query_inside = query_lane < q_length - start
            rows = query_lane[:, None].to(INDEX)
            grad = tl.load(
                grads + skipped * grad_row + rows * grad_row + of_value.to(INDEX) * grad_column,
                mask=query_inside[:, None] & (of_value < value_size), other=0.0,
            )  # fmt: skip
            grad_weights = tl.dot(value, tl.trans(grad), input_precision="ieee")
            # A query past the end has an infinite sum, so weights of 0.
            sum_of_row = tl.load(sums + skipped + query_lane, mask=query_inside, other=float("inf"))
            delta_of_row = tl.load(deltas + skipped + query_lane, mask=query_inside, other=0.0)
            row = start + query_lane[None, :]
            sum_of_row = (sum_of_row * 1.4426950408889634)[None, :]
            logits = shifted_scores(
                dots, scale, sum_of_row, bias, row, column, q_length, kv_length, mask_row, mask_column, INDEX
            )
            if CAUSAL:
                if start < first + BLOCK_N:
                    logits = bounded(logits, row, column, kv_length, CAUSAL)
            weights = tl.exp2(logits)
            if dropout is not None:
                keep = dropout_keep(seed, offset, base, row, column, kv_length, dropout)
                dropped = tl.where(keep, weights / (1.0 - dropout), 0.0).to(q.dtype.element_ty)
                grad_weights = tl.where(keep, grad_weights / (1.0 - dropout), 0.0)
            else:
                dropped = weights.to(q.dtype.element_ty)
            sum_v = tl.dot(dropped, grad, sum_v, input_precision="ieee")
            grad_logits = weights * (grad_weights - delta_of_row[None, :])
            narrow = grad_logits.to(q.dtype.element_ty)
            following = start + BLOCK_M
            if following < q_length:
                dots = products(key, queries, following, q_length, head_size, q_row, q_column, INDEX, BLOCK_M, BLOCK_D)
            else:
                dots = grad_logits  # of no use, and in their place already
            query = tl.load(
                queries + skipped * q_row + rows * q_row + of_head.to(INDEX) * q_column,
                mask=query_inside[:, None] & (of_head < head_size), other=0.0,
            )  # fmt: skip
            sum_k = tl.dot(narrow, query, sum_k, input_precision="ieee")
    target = grad_k + batch * grad_k_batch + kv_head * grad_k_head + wide * grad_k_row
    offsets = lane.to(INDEX) * grad_k_row + of_head.to(INDEX) * grad_k_column
    result = (sum_k * scale).to(grad_k.dtype.element_ty)
    tl.store(target + offsets, result, mask=inside & (of_head < head_size))
    target = grad_v + batch * grad_v_batch + kv_head * grad_v_head + wide * grad_v_row
    offsets = lane.to(INDEX) * grad_v_row + of_value.to(INDEX) * grad_v_column
    tl.store(target + offsets, sum_v.to(grad_v.dtype.element_ty), mask=inside & (of_value < value_size))


def backward_blocks(
    chip: ChipLimits, dtype: str, own_length: int, head_size: int, value_size: int, has_dropout: bool
) -> tuple[int, int, int]:
    """(own block, block of the loop, stages): the loop's block is the same for all lengths, for one order of sums.

    Dropout holds Philox's words and 64-bit counters of a whole block of weights, so it takes a quarter of the keys.
    """
    loop = max(16, key_block(head_size, value_size, dtype, 16 * 1024) // (4 if has_dropout else 1))
    width = next_power_of_2(max(head_size, 16)) + next_power_of_2(max(value_size, 16))
    element = DTYPE_BYTES[dtype]
    for own in row_blocks(chip, dtype, loop, width):
        for stages in (2, 1):
            needed = (
                own * width * (element + 4) + stages * loop * width * element + 5 * 4 * own * loop + 64 * (own + loop)
            )
            if needed <= chip.local_memory_bytes and (own == 16 or own < 2 * own_length):
                return own, loop, stages
    return 16, loop, 1


@launch_shape("flash_attention_backward")
def flash_attention_backward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> list[Launch]:
    """tensors (grad_q, grad_k, grad_v, grad_out, out, logsumexp, q, k, v, mask or none), scalars as in the forward.

    `sizes` = (batch, heads, kv_heads, q_length, kv_length, head_size, value_size, causal, has dropout, then the strides
    (batch, head, row, column) of grad_q, grad_k, grad_v, grad_out, out, q, k, v, mask). No gradient for the mask.
    """
    batch, heads, kv_heads, q_length, kv_length, head_size, value_size, causal, has_dropout = sizes[:9]
    names = ("grad_q", "grad_k", "grad_v", "grad", "out", "q", "k", "v", "mask")
    if len(sizes) != 9 + 4 * len(names):
        raise ValueError(f"flash_attention_backward got {len(sizes) - 9} strides, wants 4 for each of {names}")
    strides = {name: sizes[9 + 4 * i : 13 + 4 * i] for i, name in enumerate(names)}
    has_mask = dtypes[9] != "none"
    delta = Workspace(0, "fp32", batch * heads * q_length)
    widths = {"BLOCK_D": next_power_of_2(max(head_size, 16)), "BLOCK_V": next_power_of_2(max(value_size, 16))}

    def launch(
        kernel: object, own: tuple[str, ...], blocks: dict[str, int], extra: dict[str, Argument], programs: int
    ) -> Launch:
        used = tuple(name for name in names if name in own)
        flat = tuple(stride for name in used for stride in strides[name])
        arguments = attention_arguments(has_mask, bool(has_dropout), used, flat)
        arguments |= {"q": Tensor(6), "k": Tensor(7), "v": Tensor(8), "grad_out": Tensor(3), "logsumexp": Tensor(5)}
        arguments |= {
            "delta": delta,
            "programs": programs,
            "processing_elements": chip.processing_elements,
            "mask": Tensor(9) if has_mask else None,
            "heads": heads,
            "group": heads // kv_heads,
        }
        arguments |= {"q_length": q_length, "kv_length": kv_length, "head_size": head_size, "value_size": value_size}
        index = attention_index(flat, q_length, kv_length, blocks)
        constexprs = {"CAUSAL": bool(causal), "INDEX": index, **blocks}
        return Launch(kernel, (programs, 1, 1), arguments | extra, constexprs, attention_options())

    own, loop, stages = backward_blocks(chip, dtypes[6], q_length, head_size, value_size, bool(has_dropout))
    own = enough_programs(chip, own, q_length, batch * heads, bool(causal))
    q_blocks = ceil_div(q_length, own)
    blocks = {"BLOCK_M": own, "BLOCK_N": loop, "STAGES": stages, **widths}
    of_queries = ("q", "k", "v", "grad", "out", "grad_q", "mask")
    extra: dict[str, Argument] = {"grad_q": Tensor(0), "out": Tensor(4), "q_blocks": q_blocks}
    queries = launch(flash_attention_backward_queries, of_queries, blocks, extra, q_blocks * batch * heads)

    own, loop, stages = backward_blocks(chip, dtypes[6], kv_length, head_size, value_size, bool(has_dropout))
    own = enough_programs(chip, own, kv_length, batch * kv_heads, bool(causal))
    kv_blocks = ceil_div(kv_length, own)
    blocks = {"BLOCK_M": loop, "BLOCK_N": own, "STAGES": stages, **widths}
    extra = {"grad_k": Tensor(1), "grad_v": Tensor(2), "kv_blocks": kv_blocks, "kv_heads": kv_heads}
    of_keys = ("q", "k", "v", "grad", "grad_k", "grad_v", "mask")
    keys = launch(flash_attention_backward_keys, of_keys, blocks, extra, kv_blocks * batch * kv_heads)
    # In this order: the second launch reads the first one's delta.
    return [queries, keys]
