"""Kernels of the kinds that Triton's tutorials teach, written as a user writes them: no word of the device."""

import triton
import triton.language as tl


@triton.jit
def add_vectors(first, second, out, count, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = offsets < count
    total = tl.load(first + offsets, mask=inside) + tl.load(second + offsets, mask=inside)
    tl.store(out + offsets, total, mask=inside)


@triton.jit
def softmax_rows(out, x, x_stride, out_stride, rows, columns, BLOCK: tl.constexpr, num_stages: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    inside = offsets < columns
    for row in tl.range(tl.program_id(0), rows, tl.num_programs(0), num_stages=num_stages):
        values = tl.load(x + row * x_stride + offsets, mask=inside, other=-float("inf"))
        exponentials = tl.exp(values - tl.max(values, axis=0))
        tl.store(out + row * out_stride + offsets, exponentials / tl.sum(exponentials, axis=0), mask=inside)


@triton.jit
def leaky_relu(x):
    return tl.where(x >= 0, x, 0.01 * x)


@triton.autotune(
    configs=[
        triton.Config({"BLOCK_M": 64, "BLOCK_N": 64, "BLOCK_K": 32, "GROUP_M": 8}, num_stages=3, num_warps=4),
        triton.Config({"BLOCK_M": 32, "BLOCK_N": 128, "BLOCK_K": 64, "GROUP_M": 4}, num_stages=2, num_warps=8),
        triton.Config({"BLOCK_M": 1024, "BLOCK_N": 1024, "BLOCK_K": 64, "GROUP_M": 1}, num_stages=4, num_warps=8),
    ],
    key=["M", "N", "K"],
)
@triton.jit
def matmul(
    a,
    b,
    c,
    M,
    N,
    K,
    stride_am,
    stride_ak,
    stride_bk,
    stride_bn,
    stride_cm,
    stride_cn,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    GROUP_M: tl.constexpr,
    ACTIVATION: tl.constexpr,
):
    program = tl.program_id(0)
    tiles_m, tiles_n = tl.cdiv(M, BLOCK_M), tl.cdiv(N, BLOCK_N)
    group = program // (GROUP_M * tiles_n)
    first_m = group * GROUP_M
    group_height = min(tiles_m - first_m, GROUP_M)
    tile_m = first_m + (program % (GROUP_M * tiles_n)) % group_height
    tile_n = (program % (GROUP_M * tiles_n)) // group_height
    tl.assume(tile_m >= 0)
    tl.assume(tile_n >= 0)
    rows = (tile_m * BLOCK_M + tl.arange(0, BLOCK_M)) % M
    columns = (tile_n * BLOCK_N + tl.arange(0, BLOCK_N)) % N
    depth = tl.arange(0, BLOCK_K)
    a_tile = a + rows[:, None] * stride_am + depth[None, :] * stride_ak
    b_tile = b + depth[:, None] * stride_bk + columns[None, :] * stride_bn
    accumulator = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for k in range(tl.cdiv(K, BLOCK_K)):
        left = tl.load(a_tile, mask=depth[None, :] < K - k * BLOCK_K, other=0.0)
        right = tl.load(b_tile, mask=depth[:, None] < K - k * BLOCK_K, other=0.0)
        accumulator = tl.dot(left, right, accumulator)
        a_tile += BLOCK_K * stride_ak
        b_tile += BLOCK_K * stride_bk
    if ACTIVATION == "leaky_relu":
        accumulator = leaky_relu(accumulator)
    rows = tile_m * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tile_n * BLOCK_N + tl.arange(0, BLOCK_N)
    inside = (rows[:, None] < M) & (columns[None, :] < N)
    target = c + stride_cm * rows[:, None] + stride_cn * columns[None, :]
    tl.store(target, accumulator.to(c.dtype.element_ty), mask=inside)


@triton.jit
def dropout(x, out, count, probability, seed, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = offsets < count
    values = tl.load(x + offsets, mask=inside)
    kept = tl.rand(seed, offsets) > probability
    tl.store(out + offsets, tl.where(kept, values / (1 - probability), 0.0), mask=inside)


@triton.jit
def layer_norm_forward(x, y, weight, bias, means, deviations, stride, columns, epsilon, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    x += row * stride
    y += row * stride
    sums = tl.zeros([BLOCK], dtype=tl.float32)
    for start in range(0, columns, BLOCK):
        offsets = start + tl.arange(0, BLOCK)
        sums += tl.load(x + offsets, mask=offsets < columns, other=0.0).to(tl.float32)
    mean = tl.sum(sums, axis=0) / columns
    squares = tl.zeros([BLOCK], dtype=tl.float32)
    for start in range(0, columns, BLOCK):
        offsets = start + tl.arange(0, BLOCK)
        values = tl.load(x + offsets, mask=offsets < columns, other=0.0).to(tl.float32)
        centred = tl.where(offsets < columns, values - mean, 0.0)
        squares += centred * centred
    reciprocal = 1 / tl.sqrt(tl.sum(squares, axis=0) / columns + epsilon)
    tl.store(means + row, mean)
    tl.store(deviations + row, reciprocal)
    for start in range(0, columns, BLOCK):
        offsets = start + tl.arange(0, BLOCK)
        inside = offsets < columns
        scale, shift = tl.load(weight + offsets, mask=inside), tl.load(bias + offsets, mask=inside)
        values = tl.load(x + offsets, mask=inside, other=0.0).to(tl.float32)
        tl.store(y + offsets, (values - mean) * reciprocal * scale + shift, mask=inside)


@triton.jit
def layer_norm_backward(
    dx,
    dy,
    partial_dw,
    partial_db,
    x,
    weight,
    means,
    deviations,
    locks,
    stride,
    columns,
    GROUPS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One row a program; weight gradients gather in GROUPS buffers, each behind a lock."""
    row = tl.program_id(0)
    offsets = tl.arange(0, BLOCK)
    inside = offsets < columns
    group = row % GROUPS
    lock, count = locks + group, locks + GROUPS + group
    values = tl.load(x + row * stride + offsets, mask=inside, other=0).to(tl.float32)
    gradient = tl.load(dy + row * stride + offsets, mask=inside, other=0).to(tl.float32)
    scale = tl.load(weight + offsets, mask=inside).to(tl.float32)
    reciprocal = tl.load(deviations + row)
    normal = tl.where(inside, (values - tl.load(means + row)) * reciprocal, 0.0)
    scaled = tl.where(inside, scale * gradient, 0.0)
    first = tl.sum(normal * scaled, axis=0) / columns
    second = tl.sum(scaled, axis=0) / columns
    tl.store(dx + row * stride + offsets, (scaled - (normal * first + second)) * reciprocal, mask=inside)
    dw, db = gradient * normal, gradient
    while tl.atomic_cas(lock, 0, 1) == 1:
        pass
    if tl.load(count) == 0:
        tl.atomic_xchg(count, 1)
    else:
        dw += tl.load(partial_dw + group * columns + offsets, mask=inside)
        db += tl.load(partial_db + group * columns + offsets, mask=inside)
    tl.store(partial_dw + group * columns + offsets, dw, mask=inside)
    tl.store(partial_db + group * columns + offsets, db, mask=inside)
    tl.debug_barrier()
    tl.atomic_xchg(lock, 0)


@triton.jit
def attention_inner(
    accumulator, sums, maxima, q, k_rows, v_rows, start_m, scale, low, high, MASKED: tl.constexpr, M, N: tl.constexpr
):
    for start in tl.range(low, high, N):
        start = tl.multiple_of(start, N)
        k = k_rows.load([start, 0]).T
        scores = tl.dot(q, k)
        if MASKED:
            visible = (start_m + tl.arange(0, M))[:, None] >= (start + tl.arange(0, N))[None, :]
            scores = scores * scale + tl.where(visible, 0, -1.0e6)
            highest = tl.maximum(maxima, tl.max(scores, 1))
            scores -= highest[:, None]
        else:
            highest = tl.maximum(maxima, tl.max(scores, 1) * scale)
            scores = scores * scale - highest[:, None]
        weights = tl.math.exp2(scores)
        correction = tl.math.exp2(maxima - highest)
        accumulator = accumulator * correction[:, None]
        accumulator = tl.dot(weights.to(q.dtype), v_rows.load([start, 0]), accumulator)
        sums = sums * correction + tl.sum(weights, 1)
        maxima = highest
    return accumulator, sums, maxima


@triton.jit
def causal_attention(q, k, v, out, logsumexp, scale, heads, length, D: tl.constexpr, M: tl.constexpr, N: tl.constexpr):
    """out [heads, length, D]; a program takes M queries of a head, descriptors made on the device."""
    start_m = tl.program_id(0) * M
    head = tl.program_id(1)
    rows = head * length
    total = heads * length
    q_rows = tl.make_tensor_descriptor(q, shape=[total, D], strides=[D, 1], block_shape=[M, D])
    out_rows = tl.make_tensor_descriptor(out, shape=[total, D], strides=[D, 1], block_shape=[M, D])
    k_rows = tl.make_tensor_descriptor(k + rows * D, shape=[length, D], strides=[D, 1], block_shape=[N, D])
    v_rows = tl.make_tensor_descriptor(v + rows * D, shape=[length, D], strides=[D, 1], block_shape=[N, D])
    maxima = tl.full([M], -float("inf"), dtype=tl.float32)
    sums = tl.full([M], 0.0, dtype=tl.float32)
    accumulator = tl.zeros([M, D], dtype=tl.float32)
    block = q_rows.load([rows + start_m, 0])
    factor = scale * 1.4426950408889634
    accumulator, sums, maxima = attention_inner(
        accumulator, sums, maxima, block, k_rows, v_rows, start_m, factor, 0, start_m, False, M, N
    )
    accumulator, sums, maxima = attention_inner(
        accumulator, sums, maxima, block, k_rows, v_rows, start_m, factor, start_m, start_m + M, True, M, N
    )
    tl.store(logsumexp + rows + start_m + tl.arange(0, M), maxima + tl.math.log2(sums))
    out_rows.store([rows + start_m, 0], (accumulator / sums[:, None]).to(q.dtype.element_ty))


@triton.jit
def block_pointer_transpose(x, out, rows, columns, BLOCK: tl.constexpr):
    """out [columns, rows] = x [rows, columns] transposed, through block pointers."""
    i, j = tl.program_id(0) * BLOCK, tl.program_id(1) * BLOCK
    source = tl.make_block_ptr(x, (rows, columns), (columns, 1), (i, j), (BLOCK, BLOCK), (1, 0))
    target = tl.make_block_ptr(out, (columns, rows), (rows, 1), (j, i), (BLOCK, BLOCK), (1, 0))
    tile = tl.load(source, boundary_check=(0, 1), padding_option="zero")
    tl.store(target, tl.trans(tile), boundary_check=(0, 1))


@triton.jit
def wait_for_the_next(out, locks, programs, broken):
    """Every program waits until the next one has released its lock; program `broken` writes outside of `out`."""
    program = tl.program_id(0)
    total = 0
    if program + 1 < programs:
        while tl.atomic_cas(locks + program + 1, 1, 2) != 1:
            pass
        total = tl.load(out + program + 1)
    if program == broken:
        tl.store(out + programs + 1000, 0)
    tl.store(out + program, total + program)
    tl.atomic_xchg(locks + program, 1)
