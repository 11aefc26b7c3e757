"""mtia_sim as PyTorch sees it: importing torch loads this package through the entry point ``torch.backends`` and shows
it as ``torch.mtia_sim``, a mirror of ``torch.mtia`` with the chip's counters beside it."""


def _autoload() -> None:
    """Called at the end of ``import torch``; everything happens when the package is imported."""


import importlib  # noqa: E402

import torch  # noqa: E402

from mtia_sim._registration import is_built  # noqa: E402

if is_built():
    from mtia_sim import _utils, memory, random
    from mtia_sim._registration import register
    from mtia_sim.amp import get_amp_supported_dtype
    from mtia_sim.checking import CheckWarning, check, clear_findings, findings, start_from_environment
    from mtia_sim.counters import fallbacks, kernel_totals, perf_counters, reset_perf_counters
    from mtia_sim.cpp_kernels import CppKernel
    from mtia_sim.debugging.breakpoints import breakpoint_at
    from mtia_sim.debugging.numerics import numerics
    from mtia_sim.debugging.recording import record
    from mtia_sim.devices import (
        current_device,
        device,
        device_count,
        device_of,
        exchange_device,
        get_device_capability,
        get_device_name,
        get_device_properties,
        is_available,
        is_bf16_supported,
        maybe_exchange_device,
        set_chip,
        set_device,
        synchronize,
    )
    from mtia_sim.explanation import explain
    from mtia_sim.graphs import MTIAGraph, graph, graph_pool_handle
    from mtia_sim.initialisation import _is_in_bad_fork, _lazy_init, init, is_initialized
    from mtia_sim.memory import (
        attach_out_of_memory_observer,
        empty_cache,
        flush_cache,
        max_memory_allocated,
        max_memory_reserved,
        mem_get_info,
        memory_allocated,
        memory_reserved,
        memory_stats,
        memory_summary,
        record_memory_history,
        reset_accumulated_memory_stats,
        reset_peak_memory_stats,
        snapshot,
    )
    from mtia_sim.random import (
        _get_generator,
        default_generators,
        get_rng_state,
        get_rng_state_all,
        initial_seed,
        manual_seed,
        manual_seed_all,
        seed,
        seed_all,
        set_rng_state,
        set_rng_state_all,
    )
    from mtia_sim.reporting import report
    from mtia_sim.stored_kernels import StoredKernel, load_kernel
    from mtia_sim.streams import (
        Event,
        Stream,
        StreamContext,
        current_stream,
        default_stream,
        set_stream,
        stream,
    )
    from mtia_sim.timing import get_mode, set_mode, timing_summary, timing_values
    from mtia_sim.tracing import trace

    def __getattr__(name: str) -> object:
        """Computed attributes: `_initialized`, as torch.cuda has it (activation checkpointing saves the generators only
        where it is true), and what Inductor asks for when it compiles its first graph."""
        if name == "_initialized":
            return is_initialized()
        if name in ("Scheduling", "PythonWrapperCodegen", "CppWrapperCodegen", "WrapperFxCodegen"):
            return getattr(importlib.import_module("mtia_sim.compilation"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    _DeviceGuard = device
    _exchange_device = exchange_device
    _maybe_exchange_device = maybe_exchange_device

    __all__ = [
        "CheckWarning",
        "CppKernel",
        "Event",
        "MTIAGraph",
        "StoredKernel",
        "Stream",
        "StreamContext",
        "_DeviceGuard",
        "_exchange_device",
        "_get_generator",
        "_is_in_bad_fork",
        "_lazy_init",
        "_maybe_exchange_device",
        "_utils",
        "attach_out_of_memory_observer",
        "breakpoint_at",
        "check",
        "clear_findings",
        "current_device",
        "current_stream",
        "default_generators",
        "default_stream",
        "device",
        "device_count",
        "device_of",
        "empty_cache",
        "explain",
        "fallbacks",
        "findings",
        "flush_cache",
        "get_amp_supported_dtype",
        "get_device_capability",
        "get_device_name",
        "get_device_properties",
        "get_mode",
        "get_rng_state",
        "get_rng_state_all",
        "graph",
        "graph_pool_handle",
        "init",
        "initial_seed",
        "is_available",
        "is_bf16_supported",
        "is_initialized",
        "kernel_totals",
        "load_kernel",
        "manual_seed",
        "manual_seed_all",
        "max_memory_allocated",
        "max_memory_reserved",
        "mem_get_info",
        "memory",
        "memory_allocated",
        "memory_reserved",
        "memory_stats",
        "memory_summary",
        "numerics",
        "perf_counters",
        "random",
        "record",
        "record_memory_history",
        "report",
        "reset_accumulated_memory_stats",
        "reset_peak_memory_stats",
        "reset_perf_counters",
        "seed",
        "seed_all",
        "set_chip",
        "set_device",
        "set_mode",
        "set_rng_state",
        "set_rng_state_all",
        "set_stream",
        "snapshot",
        "stream",
        "synchronize",
        "timing_summary",
        "timing_values",
        "trace",
    ]

    start_from_environment()  # first: what it refuses leaves nothing registered
    register(torch, __name__)
