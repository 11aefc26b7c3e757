"""Shapes of products that others published, and those of them that are bound by arithmetic.

A shape is (rows, columns, depth). ISCA 2026 measured products of Meta's recommendation models above 400 FLOPs a byte;
their shapes are not public. In their place stand all products above 400 FLOPs a byte of three public lists: each the
default list of a benchmark, taken whole. The rule was fixed before any of them was run on any chip.
"""

Shape = tuple[int, int, int]

# github.com/baidu-research/DeepBench, commit da81ba7, code/kernels/gemm_problems.h, training_set; transposes are one.
DEEPBENCH: tuple[Shape, ...] = (
    *((size, columns, size) for size in (1760, 2048, 2560, 4096) for columns in (16, 32, 64, 128, 7000, 7133)),
    *((rows, columns, depth) for depth in (1760, 2048, 2560, 4096) for rows, columns in ((5124, 9124), (35, 8457))),
    *((rows, columns, depth)
      for rows, depth in ((7680, 2560), (3072, 1024)) for columns in (16, 32, 64, 128)),
    (3072, 7435, 1024), (7680, 5481, 2560), (1024, 700, 512),
    *((rows, columns, 500000) for rows in (512, 1024) for columns in (8, 16)),
    *((3 * depth, columns, depth) for depth in (2560, 2048, 1536, 2816, 1024) for columns in (24000, 48000)),
    *((3 * depth, columns, depth) for depth in (2048, 1536, 2816) for columns in (16, 32)),
    *((rows, columns, depth)
      for rows in (512, 1024) for columns in (24000, 48000) for depth in (2816, 2048, 2560, 1536)),
    *((rows, columns, 512) for rows in (512, 1024) for columns in (16, 32)),
)  # fmt: skip

# github.com/pytorch-labs/tritonbench, commit 0efdc53, tritonbench/operators/gemm: the built-in shapes of operator.py
# and amd.csv, which are squares again beside those of recommendation models.
TRITONBENCH: tuple[Shape, ...] = (
    *((size, size, size) for size in range(256, 4097, 128)),
    (152710, 2048, 512), (64896, 2048, 512), (6, 384, 1536), (6, 3072, 768), (6144, 384, 384), (462, 768, 384),
    (462, 4096, 384), (462, 1472, 384), (6144, 384, 3072), (6144, 1536, 384), (6, 3072, 1536), (1536, 768, 768),
    (462, 768, 768), (462, 4096, 768), (462, 1472, 768), (1536, 768, 6144), (1536, 3072, 768), (6, 3072, 3072),
    (384, 1536, 1536), (462, 768, 1536), (462, 4096, 1536), (462, 1472, 1536), (384, 1536, 12288), (384, 6144, 1536),
    (96, 1536, 1536), (96, 1536, 12288), (96, 6144, 1536),
)  # fmt: skip

# github.com/pytorch/FBGEMM, commit 71d6f8b, fbgemm_gpu/experimental/gen_ai/bench/quantize_bench.py, get_llama_shapes:
# projections of Llama 3 70B and 405B in eighths and of Llama 4.
FBGEMM_LLAMA: tuple[Shape, ...] = tuple(
    (rows, columns, depth)
    for rows in (1, 16, 32, 64, 96, 128, 16384)
    for columns, depth in ((1280, 8192), (8192, 1024), (7168, 8192), (8192, 3584),
                           (13312, 6656), (13312, 16384), (16384, 6656), (16384, 16384),
                           (896, 5120), (5120, 640), (2048, 5120), (5120, 1024))
)  # fmt: skip

# SemiAnalysis, MI300X vs H100 vs H200 Benchmark Part 1: Training, 2024-12-22: of Llama 70B in eighths.
LLAMA_70B: tuple[Shape, ...] = (
    (16384, 8192, 1280),
    (16384, 1024, 8192),
    (16384, 8192, 7168),
    (16384, 3584, 8192),
    (8192, 8192, 8192),
)


def intensity(shape: Shape) -> float:
    """FLOPs a byte of a product whose 16-bit operands and result cross the memory once each."""
    rows, columns, depth = shape
    return rows * columns * depth / (rows * depth + depth * columns + rows * columns)


INTENSE = tuple(dict.fromkeys(s for s in (*DEEPBENCH, *TRITONBENCH, *FBGEMM_LLAMA) if intensity(s) > 400))

# The unbatched products of XLA's table of measured rates that are above the same intensity (sm_90;
# github.com/tensorflow/tensorflow, commit 372d578, third_party/xla/xla/service/gpu/model/matmul_interpolator_data.h).
_POWERS = (256, 512, 1024, 2048, 4096)
XLA_INTENSE = tuple(
    shape
    for shape in ((rows, columns, depth) for rows in _POWERS for columns in _POWERS for depth in _POWERS)
    if intensity(shape) > 400
)
