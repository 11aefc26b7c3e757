"""What the tests of torch_npu's tree import from torch_npu to say which device they need and how ranks begin.

The operators of that package are its own: a test that calls one fails with the operator's name."""

import functools
import sys
import types
import unittest
from collections.abc import Callable
from typing import Any

import mtia_sim_many_ranks
import torch
from torch import distributed
from torch.testing._internal import common_distributed, common_fsdp, common_utils
from torch.testing._internal.distributed._tensor.common_dtensor import DTensorTestBase

_Test = Callable[..., Any]


def _needs_devices(count: int) -> Callable[[_Test], _Test]:
    def decorate(test: _Test) -> _Test:
        @functools.wraps(test)
        def wrapped(*arguments: Any, **keywords: Any) -> Any:
            if torch.mtia_sim.device_count() < count:
                raise unittest.SkipTest(f"needs {count} devices")
            return test(*arguments, **keywords)

        return wrapped

    return decorate


def _supported_devices(names: Any) -> Callable[[_Test], _Test]:
    return lambda test: test  # which of their chips has the operators; not whether the device is one of theirs


def _begin(backend: str = "mccl", world_size: int = 1, rank: int = 0, file_name: str = "") -> None:
    distributed.init_process_group(backend, world_size=world_size, rank=rank, init_method=f"file://{file_name}")
    torch.mtia_sim.set_device(rank)


def _with_ranks(test: _Test) -> _Test:
    @functools.wraps(test)
    def wrapped(case: Any, *arguments: Any, **keywords: Any) -> None:
        _begin(world_size=case.world_size, rank=case.rank, file_name=case.file_name)
        torch.mtia_sim.manual_seed(0)
        test(case, *arguments, **keywords)
        case.destroy_pg()

    return wrapped


class RanksOnDevices(DTensorTestBase):  # type: ignore[misc]
    @property
    def device_type(self) -> str:
        return "mtia_sim"

    @property
    def world_size(self) -> int:
        return mtia_sim_many_ranks.RANKS


class FullyShardedRanks(common_fsdp.FSDPTest):  # type: ignore[misc]
    """Each rank on its device, which torch's own does for CUDA and XPU."""

    def run_test(self, *arguments: Any) -> None:
        torch.mtia_sim.set_device(self.rank % torch.mtia_sim.device_count())
        super().run_test(*arguments)


def _module(name: str, **contents: Any) -> None:
    module = types.ModuleType(name)
    module.__dict__.update(contents)
    module.__path__ = []
    sys.modules[name] = module
    parent, _, last = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], last, module)


def prepare() -> None:
    """Called before the tests' files are imported."""
    mtia_sim_many_ranks.prepare_ranks()
    common_fsdp.DEVICE_TYPE, common_fsdp.DISTRIBUTED_BACKEND = "mtia_sim", "mccl"
    common_fsdp.DEVICE_COUNT = mtia_sim_many_ranks.RANKS
    distributed.is_mccl_available = lambda: True  # type: ignore[attr-defined]
    at_least = common_distributed.at_least_x_gpu = lambda count: torch.mtia_sim.device_count() >= count
    common_distributed.skip_if_lt_x_gpu = lambda count, **_: unittest.skipUnless(at_least(count), f"needs {count}")
    _module("torch_npu", npu=torch.mtia_sim)
    _module("torch_npu.testing")
    _module("torch_npu.testing._internal")
    _module("torch_npu.testing._internal.common_dtensor", NPUDTensorTestBase=RanksOnDevices)
    _module("torch_npu.testing._internal.common_fsdp", FSDPNPUTest=FullyShardedRanks)
    _module("torch_npu.testing.testcase", TestCase=common_utils.TestCase, run_tests=common_utils.run_tests)
    _module("torch_npu.testing.common_utils", SupportedDevices=_supported_devices)
    _module(
        "torch_npu.testing.common_distributed",
        skipIfUnsupportMultiNPU=_needs_devices,
        init_pg=_begin,
        with_comms=_with_ranks,
        TEST_SKIPS=common_distributed.TEST_SKIPS,
    )
