"""triton.testing.do_bench_cudagraph on this chip: a graph takes away the host's time, which chip time never has."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import triton.testing

_RUNS = 10  # as many replays as Triton times


def install(is_ours: Callable[[], bool], device_interface: Callable[[], Any]) -> None:
    """Has triton.testing.do_bench_cudagraph measure chip time while `is_ours` says that our driver is active."""
    original = triton.testing.do_bench_cudagraph
    if getattr(original, "measures_chip_time", False):
        return

    @functools.wraps(original)
    def do_bench_cudagraph(
        fn: Callable[[], Any],
        rep: int = 20,
        grad_to_none: Sequence[Any] | None = None,
        quantiles: Sequence[float] | None = None,
        return_mode: str = "mean",
    ) -> Any:
        if not is_ours():
            return original(fn, rep, grad_to_none, quantiles, return_mode)
        if return_mode not in ("min", "max", "mean", "median", "all"):
            raise ValueError(f"return_mode is {return_mode!r}; it may be min, max, mean, median or all")
        interface = device_interface()

        def timed(calls: int) -> float:
            begin, end = interface.Event(enable_timing=True), interface.Event(enable_timing=True)
            begin.record()
            for _ in range(calls):
                for tensor in grad_to_none or ():
                    tensor.grad = None
                fn()
            end.record()
            interface.synchronize()
            return float(begin.elapsed_time(end))

        fn()
        # A call behind another, as in Triton's graph of many: without the events, and the launch on an idle grid.
        times = [timed(2) - timed(1) for _ in range(_RUNS)]
        return triton.testing._summarize_statistics(times, quantiles, return_mode)

    do_bench_cudagraph.measures_chip_time = True  # type: ignore[attr-defined]
    triton.testing.do_bench_cudagraph = do_bench_cudagraph
