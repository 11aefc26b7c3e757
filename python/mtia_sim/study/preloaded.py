"""What a process that measures imports and works out before the device's first use: `forked` forks here."""

import importlib
import pkgutil
from types import ModuleType

import torch._dynamo
import triton.compiler.code_generator
import triton.experimental.gluon
from triton.runtime.cache import triton_key

import mtia_sim_kernels
import triton_mtia_sim
from mtia_sim.study import measuring
from triton_mtia_sim.compiler import plugin_fingerprint

MODULES = (torch._dynamo, triton.compiler.code_generator, triton.experimental.gluon, measuring)


def _import_all(package: ModuleType) -> None:
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(found.name)


_import_all(mtia_sim_kernels)
_import_all(triton_mtia_sim)
# Hashes of the compiler, 460 MB of it: each process would work them out again.
triton_key()
plugin_fingerprint()
