"""torch.mtia_sim.explain: what the compiler made of a Triton kernel, and the chip time of each of its lines."""

import gc
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from mtia_sim import _C

if TYPE_CHECKING:
    from triton_mtia_sim.explain import KernelReport

Grid = Sequence[int] | Callable[[dict[str, Any]], Sequence[int]]


def explain(kernel: Any = None, *arguments: Any, grid: Grid | None = None, **keywords: Any) -> "KernelReport":
    """The report of a Triton kernel: print it, or read its fields.

    With a grid and the kernel's arguments the kernel is launched once, as `kernel[grid](*arguments, **keywords)` would,
    and the report has the chip time of each line. Without, it is the report of what was compiled last for `kernel`, a
    @triton.jit function (autotuned or with heuristics too) or a triton.compiler.CompiledKernel; without a kernel, of
    the Triton kernel that was launched last (not one of an ATen operator).

    Raises ValueError where the kernel has not been compiled for this device, or a grid or arguments are missing.
    """
    from triton.compiler import CompiledKernel

    from triton_mtia_sim.explain.explaining import explain_compiled

    if grid is None:
        if arguments or keywords:
            raise ValueError("explain: arguments without a grid; call explain(kernel, *arguments, grid=(programs,))")
        if kernel is None:
            kernel = _last_launched()
        return explain_compiled(kernel if isinstance(kernel, CompiledKernel) else _last_compiled(kernel))
    function, keywords = _chosen(kernel, arguments, grid, keywords)
    compiled = function.warmup(*arguments, grid=grid, **keywords)
    report = explain_compiled(compiled)
    compiled._init_handles()
    profile = compiled.function.profile_next()
    function[grid](*arguments, **keywords)
    torch.mtia_sim.synchronize()  # type: ignore[attr-defined]
    report.add_times(profile.contents())
    return report


def _last_launched() -> Any:
    """The triton.compiler.CompiledKernel of the last launch."""
    from triton.compiler import CompiledKernel

    program = _C.last_launched()
    if program is None:
        raise ValueError("explain: no Triton kernel has been launched; pass one")
    for item in gc.get_objects():
        # type(), not isinstance(): that reads __class__, and some modules answer any read with a warning.
        if type(item) is CompiledKernel and item.function is program:
            return item
    raise ValueError(f"explain: {program.name}, launched last, was compiled elsewhere; pass the kernel's function")


def _last_compiled(kernel: Any) -> Any:
    """What a @triton.jit function was last compiled to for this device."""
    while not hasattr(kernel, "device_caches"):
        if not hasattr(kernel, "fn"):
            raise ValueError(f"explain: {kernel!r} is no Triton kernel; pass a @triton.jit function")
        kernel = kernel.fn
    compiled = [
        item
        for caches in kernel.device_caches.values()
        for item in caches[0].values()
        if getattr(item.metadata, "backend_name", "") == "mtia_sim"
    ]
    if not compiled:
        raise ValueError(
            f"explain: {kernel.__name__} has not been compiled for mtia_sim; launch it, or pass a grid and arguments"
        )
    return compiled[-1]


def _chosen(
    kernel: Any, arguments: tuple[Any, ...], grid: Grid, keywords: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """The @triton.jit function under autotuning and heuristics, with the keywords that they choose."""
    keywords = dict(keywords)
    while not hasattr(kernel, "device_caches"):
        if hasattr(kernel, "configs"):
            kernel[grid](*arguments, **keywords)
            keywords.update(kernel.best_config.all_kwargs())
        elif isinstance(getattr(kernel, "values", None), dict):
            named = {**dict(zip(kernel.arg_names, arguments, strict=False)), **keywords}
            keywords.update({name: choose(named) for name, choose in kernel.values.items()})
        elif not hasattr(kernel, "fn"):
            raise ValueError(f"explain: {kernel!r} is no Triton kernel; pass a @triton.jit function")
        kernel = kernel.fn
    return kernel, keywords
