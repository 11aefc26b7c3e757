"""Graphs under torch.mtia's names: work that is captured once and replayed."""

import itertools
from typing import Any, Literal

import torch

from mtia_sim.devices import synchronize
from mtia_sim.memory import empty_cache
from mtia_sim.streams import Stream, StreamContext, current_stream

_PoolHandle = tuple[int, int]
_handles = itertools.count(1)


def graph_pool_handle() -> _PoolHandle:
    """The id of a new pool of memory, for graphs that are captured into it one after the other."""
    return (0, next(_handles))


class MTIAGraph(torch._C._acceleratorGraph):
    """What a device was asked for between capture_begin and capture_end, run again by each replay; see graph."""

    def __new__(cls, keep_graph: bool = False) -> "MTIAGraph":
        return super().__new__(cls, keep_graph)

    def __init__(self, keep_graph: bool = False) -> None:
        super().__init__(keep_graph)

    def capture_begin(
        self,
        pool: _PoolHandle | None = None,
        capture_error_mode: Literal["default", "global", "thread_local", "relaxed"] = "default",
    ) -> None:
        """Keeps what is submitted to the current device from now on instead of running it.

        Args:
            pool: Of graph_pool_handle() or another graph's pool(); None or (0, 0): a pool of its own.
            capture_error_mode: Of no consequence: what a graph cannot hold is refused on every thread.
        """
        super().capture_begin(pool=pool, capture_error_mode=capture_error_mode)


class graph:
    """Captures a `with` block into a graph, on `stream` or the current one.

    Raises:
        Unsupported: The block reads a value on the host, draws random numbers or takes part in a collective.
    """

    def __init__(self, mtia_graph: MTIAGraph, pool: _PoolHandle | None = None, stream: Stream | None = None) -> None:
        self.mtia_graph = mtia_graph
        self.pool = (0, 0) if pool is None else pool
        self.capture_stream = current_stream() if stream is None else stream
        self.stream_ctx = StreamContext(self.capture_stream)

    def __enter__(self) -> None:
        synchronize()
        empty_cache()
        self.stream_ctx.__enter__()
        self.mtia_graph.capture_begin(self.pool)

    def __exit__(self, *error: Any) -> None:
        self.mtia_graph.capture_end()
        self.stream_ctx.__exit__(*error)
