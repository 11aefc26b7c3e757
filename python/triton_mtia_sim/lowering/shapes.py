"""Constants, ranges and movement of data: what broadcasts stays compact, what keeps the order of elements is a view."""

import struct

from mtia_core.dtypes import DType
from triton_mtia_sim.ir.attributes import Dense, Hex
from triton_mtia_sim.ir.types import shape_of
from triton_mtia_sim.lowering.registry import lowers
from triton_mtia_sim.lowering.site import Site
from triton_mtia_sim.lowering.software_floats import format_of
from triton_mtia_sim.tiles.machine import Register, Shape

_LARGEST_TABLE = 64
_UNPACK = {
    DType.I8: "b",
    DType.I16: "h",
    DType.I32: "i",
    DType.I64: "q",
    DType.F32: "f",
    DType.F64: "d",
    DType.F16: "e",
}


def _constant(site: Site, value: object, dtype: DType) -> Register:
    if isinstance(value, Hex):
        return site.builder.bits(value.bits, dtype) if dtype.is_float else site.builder.integer(value.bits, dtype)
    assert isinstance(value, bool | int | float)
    return site.builder.number(value, dtype)


@lowers("arith.constant", "llvm.mlir.constant")
def constant(site: Site) -> Register:
    """Numbers and splats are constants; a short list of numbers is put together by selection."""
    value, dtype = site.attribute("value"), site.result_dtype()
    form = format_of(site.operation.results[0].type)
    if form is not None:
        number = value.elements if isinstance(value, Dense) and value.is_splat else value
        if not isinstance(number, Hex | bool | int | float):
            site.refuse("a table of software float8", "compute it or pass it as a tensor")
        return site.builder.integer(number.bits if isinstance(number, Hex) else form.encode(number), dtype)
    if not isinstance(value, Dense):
        return _constant(site, value, dtype)
    if value.is_splat:
        return _constant(site, value.elements, dtype)
    elements = value.elements
    if isinstance(elements, bytes):
        if dtype not in _UNPACK:
            site.refuse(f"a table of {dtype.text}", "compute it or pass it as a tensor")
        elements = list(struct.unpack(f"<{len(elements) // dtype.bytes}{_UNPACK[dtype]}", elements))
    if len(elements) > _LARGEST_TABLE:
        site.refuse(f"a table of {len(elements)} constants", "pass it as a tensor and load it")
    position = site.make("iota", DType.I32, (len(elements),), [], (0,))
    result = site.expand(_constant(site, elements[0], dtype), (len(elements),))
    for index, element in enumerate(elements[1:], 1):
        here = site.elementwise("compare_i", [position, site.builder.integer(index, DType.I32)], DType.I1, (0,))
        result = site.elementwise("select", [here, _constant(site, element, dtype), result], dtype)
    return site.builder.view(result, site.result_shape())


@lowers("ub.poison")
def poison(site: Site) -> Register:
    """Any value will do: zero."""
    return site.builder.number(0, site.result_dtype())


@lowers("tt.get_program_id")
def program_id(site: Site) -> Register:
    """Index of the program along an axis."""
    return site.builder.scalar("program_id", DType.I32, [], (site.attribute("axis"),))


@lowers("tt.get_num_programs")
def num_programs(site: Site) -> Register:
    """Number of programs along an axis."""
    return site.builder.scalar("num_programs", DType.I32, [], (site.attribute("axis"),))


@lowers("tt.make_range")
def make_range(site: Site) -> Register:
    """start, start + 1, ..."""
    return site.make("iota", DType.I32, site.result_shape(), [], (site.attribute("start"),))


@lowers("tt.splat", "tt.broadcast")
def broadcast(site: Site) -> Register:
    """Stays compact: consumers broadcast for free."""
    return site.operand(0)


@lowers("tt.unsplat")
def unsplat(site: Site) -> Register:
    """The only element."""
    source = site.operand(0)
    return source if source.is_scalar else site.extract(source)


@lowers("tt.expand_dims")
def expand_dims(site: Site) -> Register:
    """A view with one more dimension of size 1."""
    source, axis = site.operand(0), site.attribute("axis")
    return source if source.is_scalar else site.builder.view(source, (*source.shape[:axis], 1, *source.shape[axis:]))


def _without_ones(shape: Shape) -> Shape:
    return tuple(size for size in shape if size != 1)


@lowers("tt.reshape")
def reshape(site: Site) -> Register:
    """A view, of a compact tile where only dimensions of size 1 come and go."""
    source = site.operand(0)
    old, new = shape_of(site.operand_type(0)), site.result_shape()
    if source.is_scalar:
        return source
    if source.shape != old and _without_ones(old) == _without_ones(new):
        kept = iter([size for size, full in zip(source.shape, old, strict=True) if full != 1])
        return site.builder.view(source, tuple(1 if size == 1 else next(kept) for size in new))
    return site.builder.view(site.full(0), new)


@lowers("tt.trans")
def transpose(site: Site) -> Register:
    """A permutation; a view where only dimensions of size 1 move."""
    source, order = site.operand(0), tuple(site.attribute("order"))
    if source.is_scalar:
        return source
    shape = tuple(source.shape[dimension] for dimension in order)
    moved = [dimension for dimension in order if source.shape[dimension] != 1]
    if moved == sorted(moved):
        return site.builder.view(source, shape)
    return site.make("permute", source.dtype, shape, [source], order)


@lowers("tt.join")
def join(site: Site) -> Register:
    """d[..., 0] = a, d[..., 1] = b."""
    a, b = site.operands()
    if a is b and a.is_scalar:
        return a
    shape = site.result_shape()
    if len(shape) == 1:  # two scalars
        halves = [site.expand(item, (1,)) for item in (a, b)]
        return site.make("concatenate", a.dtype, shape, halves, (0,))
    return site.make("interleave", a.dtype, shape, [site.full(0), site.full(1)])


@lowers("tt.split")
def split(site: Site) -> list[Register]:
    """The two halves along the last dimension, which has size 2."""
    source = site.operand(0)
    if source.is_scalar:
        return [source, source]
    source = site.full(0)
    shape = source.shape[:-1]
    axis = len(shape)
    halves = [site.make("slice", source.dtype, (*shape, 1), [source], (axis, half, 1)) for half in (0, 1)]
    return [site.builder.view(half, shape) if shape else site.extract(half) for half in halves]


@lowers("tt.cat")
def concatenate(site: Site) -> Register:
    """a then b along the first dimension."""
    return site.make("concatenate", site.result_dtype(), site.result_shape(), [site.full(0), site.full(1)], (0,))


def _position(site: Site, index: int) -> Register:
    """An operand that counts places, which are not negative: numbers of 8 and 16 bits are unsigned ones."""
    tile = site.full(index)
    return tile if tile.dtype.bits >= 32 else site.convert(tile, DType.I32, signed=False)


@lowers("tt.gather")
def gather(site: Site) -> Register:
    """Elements of a tile by index along an axis."""
    operands, attributes = [site.full(0), _position(site, 1)], (site.attribute("axis"),)
    return site.make("gather_local", site.result_dtype(), site.result_shape(), operands, attributes)


@lowers("tt.histogram")
def histogram(site: Site) -> Register:
    """Counts of 0, 1, ..., under an optional mask."""
    mask = site.full(1) if site.operand_count > 1 else None
    return site.make("histogram", site.result_dtype(), site.result_shape(), [_position(site, 0), mask])
