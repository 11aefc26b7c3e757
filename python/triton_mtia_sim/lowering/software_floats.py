"""Conversions to and from float8 formats that the chip lacks, by integer and float arithmetic of the vector core."""

from mtia_core.dtypes import DType
from triton_mtia_sim.errors import UnsupportedOperation
from triton_mtia_sim.ir.number_formats import FORMATS, NumberFormat
from triton_mtia_sim.ir.operations import Operation, Value
from triton_mtia_sim.ir.types import ScalarType, TensorType, Type, element_of
from triton_mtia_sim.lowering.registry import ELEMENTWISE
from triton_mtia_sim.lowering.site import Site
from triton_mtia_sim.tiles.machine import Register

TOWARDS_ZERO = 1
_MOVES = frozenset(
    [
        "arith.bitcast",
        "arith.constant",
        "arith.extf",
        "arith.select",
        "arith.truncf",
        "cf.br",
        "cf.cond_br",
        "scf.condition",
        "scf.for",
        "scf.if",
        "scf.while",
        "scf.yield",
        "tt.addptr",
        "tt.bitcast",
        "tt.broadcast",
        "tt.call",
        "tt.cat",
        "tt.descriptor_gather",
        "tt.descriptor_load",
        "tt.descriptor_scatter",
        "tt.descriptor_store",
        "tt.dot",
        "tt.expand_dims",
        "tt.fp_to_fp",
        "tt.func",
        "tt.gather",
        "tt.join",
        "tt.load",
        "tt.make_tensor_descriptor",
        "tt.print",
        "tt.reshape",
        "tt.return",
        "tt.splat",
        "tt.split",
        "tt.store",
        "tt.trans",
        "tt.unsplat",
        "ub.poison",
    ]
)


def format_of(type_: Type) -> NumberFormat | None:
    """The format that a type's bytes hold, None where the chip computes with the type itself."""
    element = element_of(type_)
    return FORMATS[element.format] if isinstance(element, ScalarType) and element.format else None


def emulate_arithmetic(function: Operation) -> None:
    """Computes in float32 what a kernel computes in a format that is kept as bytes, rounding each result once.

    Raises UnsupportedOperation where neither movement, nor conversion, nor an element-wise operation meets one.
    """
    for region in function.regions:
        for block in region.blocks:
            operations = []
            for operation in block.operations:
                emulate_arithmetic(operation)
                results = list(operation.results)
                strange = [value for value in (*operation.operands, *results) if format_of(value.type) is not None]
                if not strange or operation.name in _MOVES:
                    operations.append(operation)
                    continue
                if operation.name not in ELEMENTWISE:
                    element = element_of(strange[0].type)
                    assert isinstance(element, ScalarType)
                    what = f"the chip does not compute with {element.format}"
                    raise UnsupportedOperation(operation.name, operation.location, what, "convert it to float16")
                for index, value in enumerate(operation.operands):
                    if format_of(value.type) is not None:
                        wide = _conversion("arith.extf", operation, value, _in_float32(value.type))
                        operation.operands[index] = wide.results[0]
                        operations.append(wide)
                operations.append(operation)
                for result in results:
                    if format_of(result.type) is not None:
                        operations.append(_narrowed(operation, result))
            block.operations[:] = operations


def _in_float32(type_: Type) -> Type:
    wide = ScalarType(DType.F32)
    return TensorType(type_.shape, wide) if isinstance(type_, TensorType) else wide


def _conversion(name: str, place: Operation, value: Value, type_: Type) -> Operation:
    conversion = Operation(name, [value], {}, place.location)
    conversion.block = place.block
    conversion.results = [Value(type_, 0, conversion, None)]
    value.users.append(conversion)
    return conversion


def _narrowed(operation: Operation, result: Value) -> Operation:
    """Puts a float32 value in the place of `result`, which becomes that of the conversion back."""
    wide = Value(_in_float32(result.type), result.index, operation, None)
    operation.results[result.index] = wide
    conversion = Operation("arith.truncf", [wide], {}, operation.location)
    conversion.block = operation.block
    wide.users.append(conversion)
    result.operation, result.index = conversion, 0
    conversion.results = [result]
    return conversion


def decoded(site: Site, source: Register, form: NumberFormat, dtype: DType) -> Register:
    """Bytes of `form` as numbers of `dtype`; float32, float16 and bfloat16 hold every one of them."""
    builder = site.builder
    code = site.elementwise("extend_u", [source], DType.I32)
    bits = site.elementwise("and_i", [code, builder.integer(0x7F, DType.I32)], DType.I32)
    bits = site.elementwise("shl", [bits, builder.integer(23 - form.mantissa_bits, DType.I32)], DType.I32)
    value = _reinterpret(site, bits, DType.F32)
    value = site.elementwise("mul_f", [value, builder.floating(2.0 ** (127 - form.bias), DType.F32)], DType.F32)
    sign = site.elementwise("shl", [code, builder.integer(24, DType.I32)], DType.I32)
    value = site.elementwise("copysign_f", [value, _reinterpret(site, sign, DType.F32)], DType.F32)
    if form.nan is not None:
        nan = site.elementwise("compare_i", [code, builder.integer(form.nan, DType.I32)], DType.I1, (0,))
        value = site.elementwise("select", [nan, builder.floating(float("nan"), DType.F32), value], DType.F32)
    return site.convert(value, dtype)


def encoded(site: Site, source: Register, form: NumberFormat, rounding: int) -> Register:
    """Numbers as bytes of `form`, rounded once to nearest even or towards zero; what is too large saturates.

    With the exponent e of |x| (at least the smallest of the format) and m mantissa bits, n = round(|x| 2^(m - e)) is
    the mantissa with its leading one, so that n + (e - e_min) 2^m is the code, carries included.
    """
    builder = site.builder
    double = source.dtype is DType.F64
    wide, whole, bias, mantissa = (DType.F64, DType.I64, 1023, 52) if double else (DType.F32, DType.I32, 127, 23)

    def integer(value: int) -> Register:
        return builder.integer(value, whole)

    bits = _reinterpret(site, site.convert(source, wide), whole)
    size = site.elementwise("and_i", [bits, integer((1 << (8 * whole.bytes - 1)) - 1)], whole)
    largest = builder.floating(form.magnitude(form.largest), wide).integer
    clipped = site.elementwise("min_s", [size, integer(largest)], whole)
    lowest = bias + 1 - form.bias
    exponent = site.elementwise("shr_u", [clipped, integer(mantissa)], whole)
    exponent = site.elementwise("max_s", [exponent, integer(lowest)], whole)
    inverse = site.elementwise("sub_i", [integer(2 * bias + form.mantissa_bits), exponent], whole)
    inverse = _reinterpret(site, site.elementwise("shl", [inverse, integer(mantissa)], whole), wide)
    count = site.elementwise("mul_f", [_reinterpret(site, clipped, wide), inverse], wide)
    if rounding != TOWARDS_ZERO:
        count = site.elementwise("round_even", [count], wide)
    count = site.elementwise("convert_f_to_s", [count], whole)
    above = site.elementwise("sub_i", [exponent, integer(lowest)], whole)
    above = site.elementwise("shl", [above, integer(form.mantissa_bits)], whole)
    code = site.elementwise("add_i", [count, above], whole)
    sign = site.elementwise("shr_u", [bits, integer(8 * whole.bytes - 8)], whole)
    sign = site.elementwise("and_i", [sign, integer(0x80)], whole)
    signed = site.elementwise("or_i", [code, sign], whole)
    if form.nan is not None:
        zero = site.elementwise("compare_i", [code, integer(0)], DType.I1, (0,))
        signed = site.elementwise("select", [zero, integer(0), signed], whole)
        infinity = integer(builder.floating(float("inf"), wide).integer)
        nan = site.elementwise("compare_i", [size, infinity], DType.I1, (4,))
        signed = site.elementwise("select", [nan, integer(form.nan), signed], whole)
    return site.elementwise("extend_s", [signed], DType.I8)


def _reinterpret(site: Site, register: Register, dtype: DType) -> Register:
    if register.is_scalar:
        return site.builder.scalar("bitcast", dtype, [register])
    return site.builder.view(register, register.shape, dtype)
