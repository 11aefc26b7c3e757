"""Conversions between element types, and reinterpretation of bits."""

from mtia_core.dtypes import DType
from triton_mtia_sim.ir.types import is_pointer
from triton_mtia_sim.lowering.registry import lowers
from triton_mtia_sim.lowering.site import Site
from triton_mtia_sim.lowering.software_floats import decoded, encoded, format_of
from triton_mtia_sim.tiles.machine import Register

ROUNDING = {0: 1, 1: 0}  # Triton's RTZ, RTNE -> the instruction's
_LARGEST_E5M2 = 57344.0


@lowers("arith.extsi", "arith.extui", "arith.trunci", "arith.index_cast", "arith.index_castui", elementwise=True)
def integer_to_integer(site: Site) -> Register:
    """Widening by sign or zero, and narrowing; a boolean widens by sign to 0 or -1 and keeps the lowest bit."""
    source, dtype = site.operand(0), site.result_dtype()
    builder = site.builder
    if dtype is DType.I1 and source.dtype is not DType.I1:
        bit = site.elementwise("and_i", [source, builder.integer(1, source.dtype)], source.dtype)
        return site.elementwise("compare_i", [bit, builder.integer(0, source.dtype)], DType.I1, (1,))
    if source.dtype is DType.I1 and site.name == "arith.extsi":
        return site.elementwise("select", [source, builder.integer(-1, dtype), builder.integer(0, dtype)], dtype)
    if source.dtype is dtype:
        return source
    return site.convert(source, dtype, signed=site.name not in ("arith.extui", "arith.index_castui"))


@lowers("arith.extf", "arith.truncf", "tt.fp_to_fp", elementwise=True)
def float_to_float(site: Site) -> Register:
    """Nearest even unless fp_to_fp says towards zero; float8 saturates, and those the chip lacks are bit arithmetic."""
    rounding = ROUNDING.get(site.attribute("rounding", 1), 0)
    source, dtype = site.operand(0), site.result_dtype()
    form = format_of(site.operand_type(0))
    result_form = format_of(site.operation.results[0].type)
    if form is not None:
        source = decoded(site, source, form, DType.F32 if result_form is not None else dtype)
    if result_form is not None:
        return encoded(site, source, result_form, rounding)
    if form is not None:
        return source
    if dtype is DType.F8E5M2:  # the instruction would make infinity of what is too large; e4m3 has none
        most, least = (site.builder.floating(sign * _LARGEST_E5M2, source.dtype) for sign in (1, -1))
        source = site.elementwise("clamp_f", [source, least, most], source.dtype, (1,))
    return site.elementwise("convert_f", [source], dtype, (rounding,))


@lowers("arith.sitofp", "arith.uitofp", elementwise=True)
def integer_to_float(site: Site) -> Register:
    """A signed boolean is 0 or -1."""
    source, dtype = site.operand(0), site.result_dtype()
    if source.dtype is DType.I1 and site.name == "arith.sitofp":
        return site.elementwise(
            "select", [source, site.builder.floating(-1.0, dtype), site.builder.floating(0.0, dtype)], dtype
        )
    return site.convert(source, dtype, signed=site.name == "arith.sitofp")


@lowers("arith.fptosi", "arith.fptoui", elementwise=True)
def float_to_integer(site: Site) -> Register:
    """Towards zero."""
    dtype = site.result_dtype()
    if dtype is DType.I1:
        zero = site.builder.floating(0.0, site.operand(0).dtype)
        return site.elementwise("compare_f", [site.operand(0), zero], DType.I1, (13,))
    return site.convert(site.operand(0), dtype, signed=site.name == "arith.fptosi")


@lowers("arith.bitcast", "tt.bitcast")
def bitcast(site: Site) -> Register:
    """The same bits under another type: of a tile, another view of its storage."""
    source, dtype = site.operand(0), site.result_dtype()
    if is_pointer(site.operand_type(0)) or source.dtype is dtype:
        return source
    if source.is_scalar:
        return site.builder.scalar("bitcast", dtype, [source])
    return site.builder.view(source, source.shape, dtype)


@lowers("tt.ptr_to_int", "tt.int_to_ptr", elementwise=True)
def pointer_as_integer(site: Site) -> Register:
    """Pointers are byte addresses already."""
    return site.operand(0)
