"""Launch shapes: the registry, what it refuses, and the arithmetic of blocks and programs."""

import pytest

from mtia_sim_kernels import launch_shape as shapes
from tests.kernels import harness

CHIP = harness.CHIPS["mtia300"]


def test_registry_refuses_a_second_launch_shape():
    names = shapes.kernel_names()
    assert "softmax_forward" in names
    with pytest.raises(ValueError, match="two launch shapes"):
        shapes.launch_shape("softmax_forward")(lambda *_: None)


def test_unknown_kernel_names_the_remedy():
    with pytest.raises(KeyError, match=r"no_such_kernel.*kernels/triton"):
        shapes.plan("no_such_kernel", (), (), CHIP)


@pytest.mark.parametrize(
    ("name", "dtypes", "sizes"),
    [
        ("elementwise.add", ("fp32", "fp32", "fp32"), (1, 5, 1, 1)),
        ("elementwise.add", ("fp32", "fp32", "fp32", "fp32"), (1, 5, 1, 1)),
        ("softmax_forward", ("fp32", "fp32"), (1, 2, 3)),
        ("flash_attention_forward", ("fp32",) * 5 + ("none",), (1,) * 12),
        ("rotary_forward", ("fp32",) * 4, (1, 1, 1, 3, 0, 3) + (1,) * 8),
    ],
)
def test_wrong_sizes_are_refused(name, dtypes, sizes):
    with pytest.raises(ValueError, match=r"takes|got|wants"):
        shapes.plan(name, dtypes, sizes, CHIP)


@pytest.mark.parametrize("chip", harness.CHIPS)
def test_a_launch_names_every_parameter_once(chip):
    limits = harness.CHIPS[chip]
    windows = (6, 0, *(1, 9, 9), *(1, 4, 4), *(1, 3, 3), *(1, 2, 2), *(0, 0, 0), *(1, 1, 1))
    plans = [
        shapes.plan("elementwise.where", ("fp32", "bool", "fp32", "scalar", "fp32"), (1, 5000, 1, 1, 1), limits),
        shapes.plan("softmax_backward", ("bf16",) * 3, (64, 9000, 1, *(9000, 1, 0) * 3), limits),
        shapes.plan("rms_norm_backward", ("fp32",) * 6, (300, 512, 512, 512), limits),
        shapes.plan("reduce.sum", ("fp32", "fp32"), (1, 1, 1, 10**7, 0, 0, 0, 1), limits),
        shapes.plan("batch_norm_moments", ("fp32",) * 5, (1, 8, 16, 10**6, 16 * 10**6, 10**6, 1), limits),
        shapes.plan("batch_norm_gradient_sums", ("fp32",) * 8, (1, 8, 16, 10**6, 16 * 10**6, 10**6, 1), limits),
        shapes.plan("max_pool", ("fp32", "i64", "fp32"), (0, *windows), limits),
        *(
            shapes.plan("average_pool_backward", ("fp32", "none", "fp32"), (adaptive, *windows, 0, 0), limits)
            for adaptive in (0, 1)
        ),
    ]
    for launch in (launch for launches in plans for launch in launches):
        given = [*launch.arguments, *launch.constexprs]
        assert len(given) == len(set(given))
        assert set(given) == set(launch.kernel.arg_names)
        assert all(extent >= 1 for extent in launch.grid)


def test_tiles_beyond_32_bits_are_counted_in_64():
    """Their first elements are computed in the width of the count."""
    many = 2**31 + 9
    plans = [
        *shapes.plan("batch_norm_moments", ("fp32",) * 5, (1, 1, 1, many, many, many, 1), CHIP),
        shapes.plan("scaled_product", ("fp32", "fp32"), (1, 1, 1, many, 0, 0, 0, 1), CHIP)[0],
        shapes.plan("reduce.sum", ("fp32", "fp32"), (1, 1, 1, many, 0, 0, 0, 1), CHIP)[0],
    ]
    assert all(isinstance(launch.arguments["chunks"], shapes.WideInteger) for launch in plans)


@pytest.mark.parametrize("tiles", [1, 63, 64, 71, 72, 73, 1000, 12345])
@pytest.mark.parametrize("chip", harness.CHIPS)
def test_programs_cover_the_tiles_with_few_idle(chip, tiles):
    elements = harness.CHIPS[chip].processing_elements
    programs, each = shapes.programs_for(harness.CHIPS[chip], tiles)
    assert programs <= elements
    assert programs * each >= tiles
    assert (each - 1) * elements < tiles


@pytest.mark.parametrize("size", [1, 2, 3, 64, 65, 100, 344, 768, 1000, 1408, 4096, 5000])
def test_tile_extents_waste_little(size):
    block = shapes.tile_extent(size, 2048)
    assert block <= 2048
    assert block & (block - 1) == 0
    assert shapes.ceil_div(size, block) * block <= max(2 * size, 64)


def test_groups_of_rows_do_not_depend_on_the_chip():
    for rows in (1, 7, 8, 1000, 1153, 10**6):
        each, groups = shapes.row_group(rows)
        assert each * groups >= rows
        assert groups <= 144
        assert each * (groups - 1) < rows


@pytest.mark.parametrize("heads", [1, 3, 4, 8])
def test_heads_beside_each_other_are_walked_in_tall_tiles(heads):
    """Rotary's product: (batch, length, heads, size) by (length, size)."""
    strides = (256 * heads * 64, heads * 64, 64, 1)
    sizes = (4, 4, 256, heads, 64, *strides, *strides, 0, 64, 0, 1)
    (launch,) = shapes.plan("elementwise.mul", ("fp32",) * 4, sizes, CHIP)
    assert launch.constexprs["BLOCK_M"] * launch.constexprs["BLOCK_N"] >= 2048
