"""tl.extra.libdevice of the chip: the SIMD engine's tables and the rest of the mathematics, under CUDA's names."""

from collections.abc import Callable
from typing import Any

from triton.language import core
from triton.language.extra.cuda import libdevice

_FLOATS = ("fp16", "bf16", "fp32", "fp64")
_INTEGERS = ("int32", "int64")

UNARY_FLOAT = """
abs acos acosh airy_ai asin asinh atan atanh cbrt ceil cos cosh cospi cyl_bessel_i0e cyl_bessel_i1e cyl_bessel_k0
cyl_bessel_k0e cyl_bessel_k1 cyl_bessel_k1e erf erfc erfinv exp exp10 exp2 expm1
fast_cosf fast_exp10f fast_expf fast_log10f fast_log2f fast_logf fast_sinf fast_tanf floor gelu
lgamma log log10 log1p log2 nearbyint normcdf rcp_rn rint round rsqrt rsqrt_rn saturatef sigmoid sin sinh
sinpi sqrt sqrt_rn tan tanh trunc
""".split()  # noqa: SIM905 - a list of words
BINARY_FLOAT = """
add_rn atan2 copysign div_rn fast_dividef fast_fdividef fast_powf fdim fmod hypot max min mul_rn pow
remainder sub_rn
""".split()  # noqa: SIM905 - a list of words
TERNARY_FLOAT = ["fma"]
TESTS = ["finitef", "isfinited", "isinf", "isnan"]
SIGN_BIT = ["signbit"]
COUNTS = ["clz", "popc", "ffs"]
REVERSAL = ["brev"]
ROUND_TO_INTEGER = ["float2int_rn", "float2int_rz", "float2int_rd", "float2int_ru"]
ROUND_TO_LONG = ["llrint", "llround"]
BINARY_INTEGER = ["mulhi", "mul24"]


def _extern(name: str, count: int, table: dict[tuple[Any, ...], tuple[str, Any]]) -> Callable[..., Any]:
    def function(*arguments: Any, _semantic: Any = None) -> Any:
        if len(arguments) != count:
            raise TypeError(f"libdevice.{name} takes {count} arguments, got {len(arguments)}")
        return core.extern_elementwise("", "", list(arguments), table, is_pure=True, _semantic=_semantic)

    function.__name__ = function.__qualname__ = name
    function.__module__ = __name__
    return core.extern(function)


def _types(
    names: tuple[str, ...], count: int, name: str, result: str | None = None
) -> dict[tuple[Any, ...], tuple[str, Any]]:
    return {(core.dtype(item),) * count: (f"mtia_{name}", core.dtype(result or item)) for item in names}


def _define() -> dict[str, Callable[..., Any]]:
    functions: dict[str, Callable[..., Any]] = {}
    for names, types, count, result in (
        (UNARY_FLOAT, _FLOATS, 1, None),
        (BINARY_FLOAT, _FLOATS, 2, None),
        (TERNARY_FLOAT, _FLOATS, 3, None),
        (TESTS, _FLOATS, 1, "int1"),
        (SIGN_BIT, _FLOATS, 1, "int32"),
        (COUNTS, _INTEGERS, 1, "int32"),
        (REVERSAL, _INTEGERS, 1, None),
        (BINARY_INTEGER, _INTEGERS, 2, None),
        (ROUND_TO_INTEGER, ("fp32", "fp64"), 1, "int32"),
        (ROUND_TO_LONG, ("fp32", "fp64"), 1, "int64"),
    ):
        for name in names:
            table = _types(types, count, name, result)
            if name in ("abs", "max", "min"):
                table |= _types(_INTEGERS, count, name)
            if name in BINARY_INTEGER:
                table |= _types(("uint32", "uint64"), count, f"u{name}")
            functions[name] = _extern(name, count, table)
    functions["pow"] = _extern(
        "pow",
        2,
        _types(_FLOATS, 2, "pow")
        | {(core.dtype(item), core.dtype("int32")): ("mtia_powi", core.dtype(item)) for item in _FLOATS},
    )
    functions["block_exponents"] = _extern(
        "block_exponents",
        1,
        {(core.dtype(item),): ("mtia_block_exponents", core.dtype("fp8e4nv")) for item in ("uint8", "int8")},
    )
    return functions


def _names_of_cuda() -> dict[str, Callable[..., Any]]:
    """What CUDA's libdevice has beside ours: the compiler knows its symbols."""
    functions = {name: function for name, function in vars(libdevice).items() if core.is_builtin(function)}
    return {name: function for name, function in functions.items() if not name.startswith("_")}


globals().update(_names_of_cuda() | _define())
