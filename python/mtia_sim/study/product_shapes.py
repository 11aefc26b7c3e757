"""Shapes of products that others published, and those of them that are bound by arithmetic.

A shape is (rows, columns, depth). ISCA 2026 measured products of Meta's recommendation models above 400 FLOPs a byte;
their shapes are not public. In their place stand the public ones of such models, by a rule that was written down before
any of the lists was read: all products of recommendation models in benchmarks and reference models of Meta's
repositories and MLPerf's, whole, with the batch that the repository gives a chip; of a model's layers the forward
product and both gradients; and of these all above 400 FLOPs a byte.

Until 2026-11-30 the general lists of three benchmarks (DeepBench, tritonbench, FBGEMM's Llamas: 77 products, most of
them of thousands of rows) stood there, measured one behind the other; they gave 84.7 % on mtia300, 70.0 on h100_500w,
63.8 on h200.
"""

from itertools import pairwise

Shape = tuple[int, int, int]


def with_gradients(*shapes: Shape) -> tuple[Shape, ...]:
    """Of a linear layer: its product, that for the gradient of its input, and that for its weights', transposed."""
    return tuple(
        each
        for rows, columns, depth in shapes
        for each in ((rows, columns, depth), (rows, depth, columns), (depth, columns, rows))
    )


def layers(batch: int, *sizes: int) -> tuple[Shape, ...]:
    """Products of a training step of linear layers between these sizes."""
    return with_gradients(*((batch, columns, depth) for depth, columns in pairwise(sizes)))


# github.com/facebookresearch/param, commit 1e115ff, train/compute/pt/dataset.py: benchmarks "for DLRM and other
# important AI workloads", its products A, B, C and its layers A, which pytorch_linear.py trains.
PARAM: tuple[Shape, ...] = (
    *((rows, size, size) for size in (4096, 1024) for rows in (128, 256, 512, 1024)),
    *((4096, 4096, depth) for depth in (128, 256, 512, 1024)),
    *((1024, 1024, depth) for depth in (128, 256, 512)),
    *((rows, 4096, 40928) for rows in (128, 256, 512, 1024)),
    *((rows, 40928, 4096) for rows in (128, 256, 512, 1024)),
    *((rows, 1024, 2000) for rows in (128, 256, 512, 1024)),
    *((1024, 2000, depth) for depth in (128, 256, 512, 1024)),
    *((4096, 40928, depth) for depth in (128, 256, 512, 1024)),
    (1024, 1024, 64), (1024, 64, 1024), (1024, 4096, 1024), (1024, 1024, 4096),
    *with_gradients(*((rows, size, size) for size in (1024, 4096) for rows in (128, 256, 512, 1024, 2048, 4096))),
)  # fmt: skip

# github.com/meta-pytorch/tritonbench, commit db2155c: tritonbench/operators/gemm/amd.csv without its squares, which are
# the general list again, and benchmarks/run_config/gemm_config_*.yaml. (addmm's list, of HSTU, is below 400 FLOPs.)
TRITONBENCH: tuple[Shape, ...] = (
    (152710, 2048, 512), (64896, 2048, 512), (6, 384, 1536), (6, 3072, 768), (6144, 384, 384), (462, 768, 384),
    (462, 4096, 384), (462, 1472, 384), (6144, 384, 3072), (6144, 1536, 384), (6, 3072, 1536), (1536, 768, 768),
    (462, 768, 768), (462, 4096, 768), (462, 1472, 768), (1536, 768, 6144), (1536, 3072, 768), (6, 3072, 3072),
    (384, 1536, 1536), (462, 768, 1536), (462, 4096, 1536), (462, 1472, 1536), (384, 1536, 12288), (384, 6144, 1536),
    (96, 1536, 1536), (96, 1536, 12288), (96, 6144, 1536),
    (1024, 512, 13469), (1024, 21504, 1024), (32768, 512, 384),
)  # fmt: skip

# FAMBench's DLRM, as tritonbench/data/input_configs/torchbench_train/fambench_dlrm_training.txt has it, same commit.
FAMBENCH: tuple[Shape, ...] = (
    *layers(1024, 2000, 1500, 1500, 1500, 192),
    *layers(1024, 31068, *9 * (4000,), 1),
)

# MLPerf's DLRM v2: github.com/mlcommons/training, commit 3e2f731, recommendation_v2/torchrec_dlrm/README.MD, a batch of
# 65,536 on eight chips: its layers of dense features, of both together, and those of low rank of its cross network.
MLPERF: tuple[Shape, ...] = (
    *layers(8192, 13, 512, 256, 128),
    *layers(8192, 27 * 128, 1024, 1024, 512, 256, 1),
    *layers(8192, 27 * 128, 512, 27 * 128),
)

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


INTENSE = tuple(dict.fromkeys(s for s in (*PARAM, *TRITONBENCH, *FAMBENCH, *MLPERF) if intensity(s) > 400))

# The unbatched products of XLA's table of measured rates that are above the same intensity (sm_90;
# github.com/tensorflow/tensorflow, commit 372d578, third_party/xla/xla/service/gpu/model/matmul_interpolator_data.h).
_POWERS = (256, 512, 1024, 2048, 4096)
XLA_INTENSE = tuple(
    shape
    for shape in ((rows, columns, depth) for rows in _POWERS for columns in _POWERS for depth in _POWERS)
    if intensity(shape) > 400
)
