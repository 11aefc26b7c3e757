"""Tensor descriptors, made by the host or in the kernel: each load and store of a block is one DMA descriptor."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mtia_core.dtypes import DType
from triton_mtia_sim.ir.operations import Operation, Value
from triton_mtia_sim.ir.types import DescriptorType
from triton_mtia_sim.lowering.registry import lowers, lowers_effect
from triton_mtia_sim.lowering.site import LoweringState, Site
from triton_mtia_sim.tiles.machine import Register, Shape

_PAD_NAN = 2
_REDUCE_KINDS = {1: 4, 2: 7, 3: 6, 6: 1, 7: 2, 8: 3}  # DescriptorReduceKind -> atomic_rmw's


_UNSIGNED_KINDS = {6: 8, 7: 9}


@dataclass(frozen=True)
class Descriptor:
    """Base address, sizes and strides in elements; `padding` is an I1 scalar: NaN outside instead of zero."""

    base: Register
    shape: tuple[Register, ...]
    strides: tuple[Register, ...]
    block: Shape
    dtype: DType
    padding: Register


def describe(site: Site, value: Value) -> Descriptor:
    """The descriptor that a value stands for."""
    type_ = value.type
    assert isinstance(type_, DescriptorType)
    dtype = site.kernel.dtype_of(type_.block, site.operation)
    rank = len(type_.block.shape)
    base, *rest, padding = _parts(site.kernel, value)
    return Descriptor(base, tuple(rest[:rank]), tuple(rest[rank:]), type_.block.shape, dtype, padding)


def _parts(kernel: LoweringState, value: Value) -> list[Register]:
    """Base, sizes, strides and padding: scalars, so that a loop or a branch carries a descriptor as so many of them."""
    assert isinstance(value.type, DescriptorType)
    rank = len(value.type.block.shape)
    builder, operation = kernel.builder, value.operation
    if value in kernel.padding:
        arguments = kernel.function.regions[0].blocks[0].arguments
        first = value.index + 1
        numbers = [builder.widen(kernel.data(item)) for item in arguments[first : first + 2 * rank]]
        return [kernel.data(value), *numbers, kernel.padding[value]]
    if operation is not None and operation.name == "tt.make_tensor_descriptor":
        numbers = [builder.widen(kernel.data(item)) for item in operation.operands[1 : 1 + 2 * rank]]
        padding = builder.integer(int(operation.attributes.get("padding") == _PAD_NAN), DType.I1)
        return [kernel.data(operation.operands[0]), *numbers, padding]
    if operation is not None and operation.name == "arith.select":
        condition = kernel.data(operation.operands[0])
        pairs = zip(*(_parts(kernel, item) for item in operation.operands[1:]), strict=True)
        return [a if a is b else builder.scalar("select", a.dtype, [condition, a, b]) for a, b in pairs]
    unchanged = _invariant(value)
    if unchanged is not None:
        return _parts(kernel, unchanged)
    return [
        kernel.control.carried_part(value, part, DType.I64 if part <= 2 * rank else DType.I1, _reader(kernel, part))
        for part in range(2 * rank + 2)
    ]


def _reader(kernel: LoweringState, part: int) -> Callable[[Value], Register]:
    return lambda value: _parts(kernel, value)[part]


def _invariant(value: Value) -> Value | None:
    """What a for loop carries unchanged: its initial value."""
    operation: Operation | None = value.operation
    if operation is not None and operation.name == "scf.for":
        value = operation.regions[0].block.arguments[value.index + 1]
    block = value.block
    if block is None or block.owner.name != "scf.for":
        return None
    unchanged = block.terminator.operands[value.index - 1] is value
    return block.owner.operands[2 + value.index] if unchanged else None


def dimensions(
    site: Site, descriptor: Descriptor, indices: Sequence[Register]
) -> tuple[Register, list[Register | None]]:
    """Base address of the block and the operands of its dimensions: valid where 0 <= index + i < size."""
    builder = site.builder
    offset = builder.integer(0)
    operands: list[Register | None] = []
    for index, size, stride in zip(indices, descriptor.shape, descriptor.strides, strict=True):
        start = builder.widen(index)
        offset = builder.add(offset, builder.multiply(start, stride))
        operands.extend([stride, builder.negate(start), builder.subtract(size, start), None, None])
    return builder.add(descriptor.base, builder.multiply(offset, builder.integer(descriptor.dtype.bytes))), operands


def _indices(site: Site, first: int) -> list[Register]:
    return [site.operand(index) for index in range(first, site.operand_count)]


def _padding_value(site: Site, descriptor: Descriptor) -> Register:
    padding, dtype = descriptor.padding, descriptor.dtype
    if not dtype.is_float:
        return site.builder.integer(0, dtype)
    zero, nan = (site.builder.floating(value, dtype) for value in (0.0, float("nan")))
    if padding.is_constant:
        return nan if padding.bits else zero
    return site.builder.scalar("select", dtype, [padding, nan, zero])


@lowers("tt.descriptor_load")
def descriptor_load(site: Site) -> Register:
    """A block; a result of lower rank drops leading sizes of 1."""
    descriptor = describe(site, site.operation.operands[0])
    base, operands = dimensions(site, descriptor, _indices(site, 1))
    other = _padding_value(site, descriptor)
    tile = site.make(
        "dma_load", descriptor.dtype, descriptor.block, [base, other, None, *operands], (site.attribute("cache", 1),)
    )
    return site.builder.view(tile, site.result_shape())


@lowers_effect("tt.descriptor_store")
def descriptor_store(site: Site) -> None:
    """A block; what lies outside the tensor is not written."""
    descriptor = describe(site, site.operation.operands[0])
    base, operands = dimensions(site, descriptor, _indices(site, 2))
    tile = site.builder.view(site.full(1), descriptor.block)
    site.emit("dma_store", [], [base, tile, None, *operands], (1,))


@lowers_effect("tt.descriptor_reduce")
def descriptor_reduce(site: Site) -> None:
    """An atomic of every element inside the tensor."""
    descriptor = describe(site, site.operation.operands[0])
    kind = _REDUCE_KINDS.get(site.attribute("kind"))
    if kind is None:
        site.refuse(f"reduction kind {site.attribute('kind')}", "use add, min, max, and, or, xor")
    if descriptor.dtype.is_float and kind == 4:
        kind = 5
    type_ = site.operand_type(0)
    if isinstance(type_, DescriptorType) and type_.unsigned:
        kind = _UNSIGNED_KINDS.get(kind, kind)
    base, operands = dimensions(site, descriptor, _indices(site, 2))
    offset, mask = site.builder.integer(0), None
    for axis, size in enumerate(descriptor.block):
        stride, low, high = operands[5 * axis : 5 * axis + 3]
        assert stride is not None and low is not None and high is not None
        ones = tuple(size if dimension == axis else 1 for dimension in range(len(descriptor.block)))
        counter = site.builder.view(site.make("iota", DType.I32, (size,), [], (0,)), ones)
        position = site.elementwise("extend_s", [counter], DType.I64)
        inside = site.elementwise("compare_i", [position, low], DType.I1, (5,))
        below = site.elementwise("compare_i", [position, high], DType.I1, (2,))
        inside = site.elementwise("and_i", [inside, below], DType.I1)
        mask = inside if mask is None else site.elementwise("and_i", [mask, inside], DType.I1)
        step = site.elementwise("mul_i", [position, stride], DType.I64)
        offset = step if offset.is_scalar else site.elementwise("add_i", [offset, step], DType.I64)
    tile = site.builder.view(site.full(1), descriptor.block)
    assert mask is not None
    whole = [site.expand(item, descriptor.block) for item in (offset, mask)]
    site.emit("atomic_rmw", [None], [base, whole[0], tile, whole[1]], (kind,))


@lowers("tt.descriptor_gather")
def descriptor_gather(site: Site) -> Register:
    """Rows x[i] from column y on."""
    descriptor = describe(site, site.operation.operands[0])
    offset, mask, bounds = _row_offsets(site, descriptor, site.full(1), site.operand(2))
    operands = [descriptor.base, offset, mask, _padding_value(site, descriptor), *bounds]
    mnemonic = "gather_rows" if bounds else "gather"
    return site.make(mnemonic, descriptor.dtype, site.result_shape(), operands, (1,))


@lowers_effect("tt.descriptor_scatter")
def descriptor_scatter(site: Site) -> None:
    """Rows x[i] from column y on."""
    descriptor = describe(site, site.operation.operands[0])
    offset, mask, bounds = _row_offsets(site, descriptor, site.full(1), site.operand(2))
    operands = [descriptor.base, offset, site.full(3), mask, *bounds]
    site.emit("scatter_rows" if bounds else "scatter", [], operands, (1,))


def _row_offsets(
    site: Site, descriptor: Descriptor, rows: Register, column: Register
) -> tuple[Register, Register, list[Register]]:
    """Offset and mask of each row and the bounds of its elements; of each element, without bounds, where those of a row
    are no neighbours.
    """
    builder = site.builder
    columns = descriptor.block[1]
    row = builder.view(site.convert(rows, DType.I64), (rows.shape[0], 1))
    low = site.elementwise("compare_i", [row, builder.integer(0)], DType.I1, (5,))
    high = site.elementwise("compare_i", [row, descriptor.shape[0]], DType.I1, (2,))
    mask = site.elementwise("and_i", [low, high], DType.I1)
    offset = site.elementwise("mul_i", [row, descriptor.strides[0]], DType.I64)
    first, stride = builder.widen(column), descriptor.strides[1]
    if stride.bits == 1:
        offset = site.elementwise("add_i", [offset, first], DType.I64)
        return offset, mask, [builder.negate(first), builder.subtract(descriptor.shape[1], first)]
    counter = builder.view(site.make("iota", DType.I32, (columns,), [], (0,)), (1, columns))
    position = site.elementwise("add_i", [site.convert(counter, DType.I64), first], DType.I64)
    for bound, predicate in ((builder.integer(0), 5), (descriptor.shape[1], 2)):
        inside = site.elementwise("compare_i", [position, bound], DType.I1, (predicate,))
        mask = site.elementwise("and_i", [mask, inside], DType.I1)
    step = site.elementwise("mul_i", [position, stride], DType.I64)
    offset = site.elementwise("add_i", [offset, step], DType.I64)
    shape = (rows.shape[0], columns)
    return site.expand(offset, shape), site.expand(mask, shape), []
