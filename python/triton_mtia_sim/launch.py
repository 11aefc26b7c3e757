"""Compiles one launch ahead of time for callers that launch from C++: the bridge of ATen operators."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from mtia_core import chips
from triton_mtia_sim import launch_cache
from triton_mtia_sim.compiler import BINARY_EXTENSION, MtiaBackend


@dataclass(frozen=True)
class CompiledLaunch:
    """A tile program and the parameters that a launch passes, in the order of the program's arguments."""

    program: bytes
    arguments: tuple[str, ...]
    local_memory_bytes: int


class _LocatedSource(ASTSource):  # type: ignore[misc]
    """A source whose place in Triton's cache depends on its file as well: equal kernels of two checkouts differ."""

    def hash(self) -> str:
        return hashlib.sha256(f"{super().hash()}\n{launch_cache.source_file(self.fn)}".encode()).hexdigest()


def compile_launch(
    kernel: Any,
    signature: Mapping[str, str],
    constexprs: Mapping[str, Any],
    options: Mapping[str, Any] | None = None,
    chip: str | None = None,
) -> CompiledLaunch:
    """Compiles a @triton.jit function through Triton, without a driver; launch_cache remembers it on disk.

    `signature` gives the types ("*fp32", "i64", "fp32") of the parameters passed at launch; every other parameter is
    a constexpr: its value in `constexprs`, None where it has none. `chip` is a name or path, the default chip without.
    """
    unknown = [name for name in (*signature, *constexprs) if name not in kernel.arg_names]
    if unknown:
        raise ValueError(f"{kernel.__name__} has no parameters {unknown}; it has {kernel.arg_names}")
    types = {name: signature.get(name, "constexpr") for name in kernel.arg_names}
    constants = {name: constexprs.get(name) for name in kernel.arg_names if name not in signature}
    target = GPUTarget("mtia_sim", chip or os.environ.get(chips.VARIABLE) or chips.DEFAULT, 1)
    backend = MtiaBackend(target)
    key = launch_cache.launch_key(kernel, types, constants, backend.parse_options(dict(options or {})), backend)
    passed = tuple(name for name in kernel.arg_names if name in signature)
    known = launch_cache.read(key)
    if known is not None:
        return CompiledLaunch(known[0], passed, known[1])
    source = _LocatedSource(kernel, types, constants, None)
    compiled = triton.compile(source, target=target, options=dict(options or {}))
    program: bytes = compiled.asm[BINARY_EXTENSION]
    launch_cache.write(key, program, compiled.metadata.shared)
    return CompiledLaunch(program, passed, compiled.metadata.shared)
