"""Matrix products of operands in MX formats: on engines that have them, and by scaling the operands first."""

from dataclasses import dataclass

from mtia_core.dtypes import DType
from triton_mtia_sim.ir.operations import Operation
from triton_mtia_sim.ir.types import shape_of
from triton_mtia_sim.lowering.external_table import composed
from triton_mtia_sim.lowering.registry import lowers
from triton_mtia_sim.lowering.site import Site
from triton_mtia_sim.tiles.machine import Register

# ScaleDotElemType
_FLOAT8 = {0: DType.F8E4M3, 1: DType.F8E5M2}
_E2M1 = 4  # two numbers a byte
_FLOAT16 = 6

_LAYOUT = {DType.BF16: (DType.I16, 7), DType.F32: (DType.I32, 23)}  # integer of the same width, mantissa bits
_NUMBER_GROUP = 16  # e2m1 elements that share a scale that is a number (NVFP4)
_BLOCK_EXPONENTS = "mtia_block_exponents"  # of libdevice: bytes in the type that Triton takes for scales of 16


@dataclass(frozen=True)
class _Operand:
    """K is dimension `axis`; two e2m1 a byte lie along `packed`; scales are [..., rows or columns, groups along K]."""

    tile: Register
    kind: int
    scale: Register | None
    axis: int
    packed: int

    @property
    def depth(self) -> int:
        return self.tile.shape[self.axis] * (2 if self.kind == _E2M1 and self.packed == self.axis else 1)

    @property
    def group(self) -> int:
        """Elements along K that share a scale; 0 where there are none."""
        return self.depth // self.scale.shape[-1] if self.scale is not None else 0


@lowers("tt.dot_scaled")
def dot_scaled(site: Site) -> Register:
    """a b + c in float32 with a scale for each group of 32 along K (OCP MX) or 16 (libdevice.block_exponents, or float8
    numbers), on the engine where the groups are made of its blocks; elsewhere in bfloat16, which holds the scaled
    operands exactly, or in float32 where one of them is float16."""
    a, b, accumulator = _operands(site)
    start = None if accumulator.bits == 0 else site.expand(site.convert(accumulator, DType.F32), site.result_shape())
    if _fits_engine(site, a, b):
        tiles = [_as_engine_takes(site, operand) for operand in (a, b)]
        result = site.make("dot_scaled", DType.F32, site.result_shape(), [*tiles, start, a.scale, b.scale])
    else:
        common = DType.F32 if _FLOAT16 in (a.kind, b.kind) else DType.BF16
        result = site.make(
            "dot", DType.F32, site.result_shape(), [_in(common, site, a), _in(common, site, b), start], (0,)
        )
    return site.convert(result, site.result_dtype())


def _operands(site: Site) -> tuple[_Operand, _Operand, Register]:
    sizes = site.attribute("operandSegmentSizes")
    present = iter(range(site.operand_count))
    a, b, c, a_scale, b_scale = (next(present) if size else None for size in sizes)
    assert a is not None and b is not None and c is not None
    last = len(site.result_shape()) - 1
    a_packed = last if site.attribute("lhs_k_pack", True) else last - 1
    b_packed = last - 1 if site.attribute("rhs_k_pack", True) else last
    kinds = (site.attribute("a_elem_type"), site.attribute("b_elem_type"))
    left = _Operand(_numbers(site, a, kinds[0]), kinds[0], _scales(site, a_scale), last, a_packed)
    right = _Operand(_numbers(site, b, kinds[1]), kinds[1], _scales(site, b_scale), last - 1, b_packed)
    return left, right, site.operand(c)


def _numbers(site: Site, index: int, kind: int) -> Register:
    tile = site.full(index)
    return site.builder.view(tile, tile.shape, _FLOAT8[kind]) if kind in _FLOAT8 and tile.dtype is DType.I8 else tile


def _scales(site: Site, index: int | None) -> Register | None:
    """Scales as numbers, or as bytes that are exponents."""
    if index is None:
        return None
    maker = site.operation.operands[index].operation
    if maker is None or not _makes_exponents(maker):
        return site.full(index)
    return site.expand(site.kernel.data(maker.operands[0]), shape_of(site.operand_type(index)))


def _makes_exponents(operation: Operation) -> bool:
    return operation.name == "tt.extern_elementwise" and operation.attributes.get("symbol") == _BLOCK_EXPONENTS


@composed("block_exponents")
def block_exponents(site: Site, _operands: object, _dtype: DType) -> Register:
    """dot_scaled takes the bytes themselves; the type in which they are given to it cannot hold them as numbers."""
    site.refuse(
        "block_exponents whose result is not given to tl.dot_scaled as it is",
        "reshape and move the bytes before libdevice.block_exponents",
    )


def _fits_engine(site: Site, a: _Operand, b: _Operand) -> bool:
    options = site.kernel.options
    operands = (a, b)
    if not options.mx_block_elements or not options.has_f8_products:
        return False
    if any(operand.kind not in (*_FLOAT8, _E2M1) or operand.packed != operand.axis for operand in operands):
        return False
    four_bits = options.has_f4_products and a.kind == b.kind == _E2M1
    numbers = four_bits and options.has_number_scales
    block = min(_NUMBER_GROUP, options.mx_block_elements) if numbers else options.mx_block_elements
    types = {operand.scale.dtype for operand in operands if operand.scale is not None}
    if not types <= {DType.I8} and not (numbers and types == {DType.F8E4M3}):
        return False
    return all(operand.group % block == 0 for operand in operands)


def _as_engine_takes(site: Site, operand: _Operand) -> Register:
    """An engine without e2m1 takes it as f8e4m3, which holds it exactly."""
    if operand.kind != _E2M1 or site.kernel.options.has_f4_products:
        return operand.tile
    return site.convert(_unpack_e2m1(site, operand.tile, DType.BF16, operand.packed), DType.F8E4M3)


def _in(dtype: DType, site: Site, operand: _Operand) -> Register:
    """An operand as `dtype` with its scales applied."""
    tile, axis = operand.tile, operand.axis
    if operand.kind == _E2M1:
        tile = _unpack_e2m1(site, tile, dtype, operand.packed)
    tile = site.convert(tile, dtype)
    factor = operand.scale
    if factor is None:
        return tile
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
