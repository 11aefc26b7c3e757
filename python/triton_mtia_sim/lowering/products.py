"""Matrix products on the dot product engine."""

from mtia_core.dtypes import DType
from triton_mtia_sim.ir.types import shape_of
from triton_mtia_sim.lowering.machine import Register
from triton_mtia_sim.lowering.registry import lowers
from triton_mtia_sim.lowering.site import Site
from triton_mtia_sim.lowering.software_floats import decoded, format_of

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
    if not site.attribute("lhs_k_pack", True) or not site.attribute("rhs_k_pack", True):
        site.refuse("operands packed along M or N", "pack them along K")
    common = DType.F32 if _FLOAT16 in kinds else DType.BF16
    a = site.convert(_scaled(site, a_at, a_scale_at, kinds[0], axis=1), common)
    b = site.convert(_scaled(site, b_at, b_scale_at, kinds[1], axis=0), common)
    accumulator = site.operand(c_at)
    start = None if accumulator.bits == 0 else site.expand(site.convert(accumulator, DType.F32), site.result_shape())
    result = site.make("dot", DType.F32, site.result_shape(), [a, b, start], (0,))
    return site.convert(result, site.result_dtype())


_E2M1 = 4  # ScaleDotElemType: two numbers a byte
_FLOAT16 = 6


def _scaled(site: Site, operand: int, scale: int | None, kind: int, axis: int) -> Register:
    """An operand in float32 with its scales applied; E8M0 scales stand along the last dimension of [rows, K / 32]."""
    shape = shape_of(site.operand_type(operand))
    tile = site.full(operand)
    if kind == _E2M1:
        tile = _unpack_e2m1(site, tile, axis)
        shape = tile.shape
    elif kind in (0, 1) and tile.dtype is DType.I8:
        tile = site.builder.view(tile, tile.shape, DType.F8E4M3 if kind == 0 else DType.F8E5M2)
    tile = site.convert(tile, DType.F32)
    if scale is None:
        return tile
    exponent = site.convert(site.full(scale), DType.I32, signed=False)
    bits = site.elementwise("shl", [exponent, site.builder.integer(23, DType.I32)], DType.I32)
    nan = site.elementwise("compare_i", [exponent, site.builder.integer(255, DType.I32)], DType.I1, (0,))
    tiny = site.elementwise("compare_i", [exponent, site.builder.integer(0, DType.I32)], DType.I1, (0,))
    bits = site.elementwise("select", [tiny, site.builder.integer(1 << 22, DType.I32), bits], DType.I32)
    factor = site.builder.view(bits, bits.shape, DType.F32)
    factor = site.elementwise("select", [nan, site.builder.floating(float("nan"), DType.F32), factor], DType.F32)
    rows, groups = factor.shape
    if axis == 0:
        factor = site.make("permute", DType.F32, (groups, rows), [factor], (1, 0))
    group = shape[axis] // groups
    if axis == 1:
        grouped, wide = (rows, groups, group), (rows, groups, 1)
    else:
        grouped, wide = (groups, group, rows), (groups, 1, rows)
    product = site.elementwise("mul_f", [site.builder.view(tile, grouped), site.builder.view(factor, wide)], DType.F32)
    return site.builder.view(product, shape)


def _unpack_e2m1(site: Site, tile: Register, axis: int) -> Register:
    """Bytes that hold two 4-bit floats (low half first) along K as float32."""
    builder = site.builder
    halves = []
    for shift in (0, 4):
        code = site.convert(tile, DType.I32, signed=False)
        if shift:
            code = site.elementwise("shr_u", [code, builder.integer(shift, DType.I32)], DType.I32)
        magnitude = site.elementwise("and_i", [code, builder.integer(7, DType.I32)], DType.I32)
        sign = site.elementwise("and_i", [code, builder.integer(8, DType.I32)], DType.I32)
        # Exponent and mantissa at float32's places, then times 2^126: subnormals come out right.
        bits = site.elementwise("shl", [magnitude, builder.integer(22, DType.I32)], DType.I32)
        value = builder.view(bits, bits.shape, DType.F32)
        value = site.elementwise("mul_f", [value, builder.floating(2.0**126, DType.F32)], DType.F32)
        negative = site.elementwise("compare_i", [sign, builder.integer(0, DType.I32)], DType.I1, (1,))
        minus = site.elementwise("neg_f", [value], DType.F32)
        halves.append(site.elementwise("select", [negative, minus, value], DType.F32))
    shape = tile.shape
    if axis == 1:
        pairs = site.make("interleave", DType.F32, (*shape, 2), halves)
        return builder.view(pairs, (shape[0], shape[1] * 2))
    rows = [builder.view(half, (shape[0], 1, shape[1])) for half in halves]
    pairs = site.make("concatenate", DType.F32, (shape[0], 2, shape[1]), rows, (1,))
    return builder.view(pairs, (shape[0] * 2, shape[1]))
