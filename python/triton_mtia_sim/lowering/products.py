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
