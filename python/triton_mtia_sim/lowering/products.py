"""Matrix products on the dot product engine."""

from mtia_core.dtypes import DType
from triton_mtia_sim.lowering.registry import lowers
from triton_mtia_sim.lowering.site import Site
from triton_mtia_sim.lowering.software_floats import decoded, format_of
from triton_mtia_sim.tiles.machine import Register

# Triton's InputPrecision (tf32, tf32x3, ieee, bf16x3, bf16x6) -> the instruction's.
PRECISION = {0: 1, 1: 2, 2: 0, 3: 3, 4: 4}
_FLOAT8 = (DType.F8E4M3, DType.F8E5M2)
_EXACT_DEPTH = 1024  # 1024 * 128 * 128 = 2^24
ACCUMULATORS = (DType.F32, DType.I32, DType.F64)


@lowers("tt.dot")
def dot(site: Site) -> Register:
    """a b + c, accumulated in c's type; a narrow float accumulator goes through float32."""
    dtype, shape = site.result_dtype(), site.result_shape()
    a, b = (_product_operand(site, index) for index in (0, 1))
    options = site.kernel.options
    narrow = a.dtype in _FLOAT8 and (a.dtype is not b.dtype or not options.has_f8_products)
    if narrow:  # half precision holds both float8 types exactly
        a, b = site.convert(a, DType.F16), site.convert(b, DType.F16)
    if a.dtype is DType.I8 and not options.has_i8_products:
        return site.elementwise("add_i", [_integer_dot(site, a, b), site.operand(2)], dtype)
    accumulator = site.operand(2)
    # "tf32" stands on every dot of a kernel that allows it; only float32 operands are rounded by it.
    precision = PRECISION[site.attribute("inputPrecision", 2)] if a.dtype is DType.F32 else 0
    wide = dtype if dtype in ACCUMULATORS else DType.F32 if dtype.is_float else DType.I32
    zero = accumulator.is_constant and accumulator.bits in (0, site.builder.number(0, accumulator.dtype).bits)
    start = None if zero else site.expand(site.convert(accumulator, wide), shape)
    result = site.make("dot", wide, shape, [a, b, start], (precision,))
    return site.convert(result, dtype)


def _product_operand(site: Site, index: int) -> Register:
    """An operand; half precision holds the numbers of every float8 format that the chip lacks."""
    form = format_of(site.operand_type(index))
    return site.full(index) if form is None else decoded(site, site.full(index), form, DType.F16)


def _integer_dot(site: Site, a: Register, b: Register) -> Register:
    """i8 products on an engine without them: exact in half precision, and so are float32 sums of up to 1024."""
    depth, axis = a.shape[-1], len(a.shape) - 1
    total: Register | None = None
    for start in range(0, depth, _EXACT_DEPTH):
        size = min(_EXACT_DEPTH, depth - start)
        parts = []
        for tile, along in ((a, axis), (b, axis - 1)):
            shape = (*tile.shape[:along], size, *tile.shape[along + 1 :])
            part = tile if size == depth else site.make("slice", tile.dtype, shape, [tile], (along, start, 1))
            parts.append(site.convert(part, DType.F16))
        product = site.make("dot", DType.F32, site.result_shape(), [*parts, None], (0,))
        whole = site.convert(product, DType.I32)
        total = whole if total is None else site.elementwise("add_i", [total, whole], DType.I32)
    assert total is not None
    return total


@lowers("tt.dot_scaled")
def dot_scaled(site: Site) -> Register:
    """a b + c with one power-of-two scale a group of 32 along K (OCP MX), in bfloat16, which holds the scaled
    operands exactly, or in float32 where one of them is float16."""
    sizes = site.attribute("operandSegmentSizes")
    present = iter(range(site.operand_count))
    a_at, b_at, c_at, a_scale_at, b_scale_at = (next(present) if size else None for size in sizes)
    assert a_at is not None and b_at is not None and c_at is not None
    kinds = (site.attribute("a_elem_type"), site.attribute("b_elem_type"))
    packs = (site.attribute("lhs_k_pack", True), site.attribute("rhs_k_pack", True))
    common = DType.F32 if _FLOAT16 in kinds else DType.BF16
    depth = len(site.result_shape()) - 1
    a = _scaled(site, a_at, a_scale_at, kinds[0], common, depth, depth if packs[0] else depth - 1)
    b = _scaled(site, b_at, b_scale_at, kinds[1], common, depth - 1, depth - 1 if packs[1] else depth)
    accumulator = site.operand(c_at)
    start = None if accumulator.bits == 0 else site.expand(site.convert(accumulator, DType.F32), site.result_shape())
    result = site.make("dot", DType.F32, site.result_shape(), [a, b, start], (0,))
    return site.convert(result, site.result_dtype())


_E2M1 = 4  # ScaleDotElemType: two numbers a byte
_FLOAT16 = 6


_LAYOUT = {DType.BF16: (DType.I16, 7), DType.F32: (DType.I32, 23)}  # integer of the same width, mantissa bits


def _scaled(site: Site, operand: int, scale: int | None, kind: int, dtype: DType, axis: int, packed: int) -> Register:
    """An operand as `dtype` with its scales applied: K is dimension `axis`, two e2m1 a byte lie along `packed`."""
    tile = site.full(operand)
    if kind == _E2M1:
        tile = _unpack_e2m1(site, tile, dtype, packed)
    elif kind in (0, 1) and tile.dtype is DType.I8:
        tile = site.builder.view(tile, tile.shape, DType.F8E4M3 if kind == 0 else DType.F8E5M2)
    tile = site.convert(tile, dtype)
    if scale is None:
        return tile
    factor = site.full(scale)  # [..., rows, groups along K]
    factor = site.convert(factor, dtype) if factor.dtype.is_float else _powers_of_two(site, factor, dtype)
    shape, last = tile.shape, len(tile.shape) - 1
    if axis != last:
        swapped = (*range(last - 1), last, last - 1)
        moved = tuple(factor.shape[dimension] for dimension in swapped)
        factor = site.make("permute", dtype, moved, [factor], swapped)
    groups = factor.shape[axis]
    grouped = (*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :])
    wide = (*factor.shape[: axis + 1], 1, *factor.shape[axis + 1 :])
    product = site.elementwise("mul_f", [site.builder.view(tile, grouped), site.builder.view(factor, wide)], dtype)
    return site.builder.view(product, shape)


def _powers_of_two(site: Site, scale: Register, dtype: DType) -> Register:
    """E8M0 scales, 2^(byte - 127), as float32 or bfloat16, whose exponent they are; 255 is NaN, 0 is subnormal."""
    whole, mantissa = _LAYOUT[dtype]
    exponent = site.convert(scale, whole, signed=False)
    bits = site.elementwise("shl", [exponent, site.builder.integer(mantissa, whole)], whole)
    nan = site.elementwise("compare_i", [exponent, site.builder.integer(255, whole)], DType.I1, (0,))
    tiny = site.elementwise("compare_i", [exponent, site.builder.integer(0, whole)], DType.I1, (0,))
    bits = site.elementwise("select", [tiny, site.builder.integer(1 << (mantissa - 1), whole), bits], whole)
    factor = site.builder.view(bits, bits.shape, dtype)
    return site.elementwise("select", [nan, site.builder.floating(float("nan"), dtype), factor], dtype)


def _unpack_e2m1(site: Site, tile: Register, dtype: DType, axis: int) -> Register:
    """Bytes that hold two 4-bit floats (low half first) along `axis` as float32 or bfloat16."""
    builder = site.builder
    whole, mantissa = _LAYOUT[dtype]
    codes = site.convert(tile, whole, signed=False)

    def moved(mask: int, left: int) -> Register:
        part = site.elementwise("and_i", [codes, builder.integer(mask, whole)], whole)
        return site.elementwise("shl", [part, builder.integer(left, whole)], whole)

    halves = []
    for low in (0, 4):
        # Sign, exponent and mantissa at their places in `dtype`, then times 2^126: subnormals come out right.
        size, sign = moved(7 << low, mantissa - 1 - low), moved(8 << low, 8 * whole.bytes - 4 - low)
        bits = site.elementwise("or_i", [size, sign], whole)
        value = builder.view(bits, bits.shape, dtype)
        halves.append(site.elementwise("mul_f", [value, builder.floating(2.0**126, dtype)], dtype))
    shape = tile.shape
    wide = (*shape[:axis], 2 * shape[axis], *shape[axis + 1 :])
    if axis == len(shape) - 1:
        return builder.view(site.make("interleave", dtype, (*shape, 2), halves), wide)
    parted = (*shape[: axis + 1], 1, *shape[axis + 1 :])
    rows = [builder.view(half, parted) for half in halves]
    pairs = site.make("concatenate", dtype, (*shape[: axis + 1], 2, *shape[axis + 1 :]), rows, (axis + 1,))
    return builder.view(pairs, wide)
