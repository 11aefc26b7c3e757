"""CPU torch goes on as if mtia_sim were not installed, torch.compile included."""

import json
from pathlib import Path

import pytest
import torch

from tests.device.subprocesses import run_successfully

PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"
# What torch itself changes when a backend registers: its names, its methods, its lists of who registered what.
REGISTERED = {
    "torch._C._autograd.DeviceType",
    "torch._C._profiler.ProfilerActivity",
    "torch._functorch._aot_autograd.utils._GRAPHSAFE_RNG_DEVICE_TYPES",
    "torch._prims.rng_prims._registered_graphsafe_dispatch_keys",
    "torch.library._impls",
    "torch.serialization._package_registry",
    "triton.language.extra.modules",
    "triton.runtime.jit._triton_jit_function_registry",
}
PATCHED = {
    "torch.Tensor.__dlpack_device__",
    "torch.utils._triton.has_triton",
    "torch.distributed.init_process_group",
    "torch.distributed.distributed_c10d.init_process_group",
    "torch.distributed.device_mesh.init_process_group",
    "torch.distributed.init_device_mesh",
    "torch.distributed.device_mesh.init_device_mesh",
    "torch.distributed.new_group",
    "torch.distributed.distributed_c10d.new_group",
    "torch.distributed.broadcast_object_list",
    "torch.distributed.distributed_c10d.broadcast_object_list",
    "torch.distributed.scatter_object_list",
    "torch.distributed.distributed_c10d.scatter_object_list",
    "torch.distributed.device_mesh.new_group",
    "torch.distributed.monitored_barrier",
    "torch.distributed.distributed_c10d.monitored_barrier",
}
CHANGES = """
    import json, sys, types
    import torch, torch._dynamo, torch._inductor.compile_fx, torch.multiprocessing, torch.nn.attention

    def parts():
        found = {}
        for name, module in list(sys.modules.items()):
            if name.split(".")[0] not in ("torch", "triton", "multiprocessing") or type(module) is not types.ModuleType:
                continue
            for key, value in list(vars(module).items()):
                size = len(value) if isinstance(value, (list, dict, set, tuple)) else 0
                if not key.startswith("__") and (size or callable(value)):
                    found[f"{name}.{key}"] = (id(value), size, value)
                if isinstance(value, type) and value.__module__ == name:
                    for each, method in list(vars(value).items()):
                        if callable(method) or isinstance(method, property):
                            found[f"{name}.{key}.{each}"] = (id(method), 0, method)
        return found

    before = parts()
    modules = set(sys.modules)
    import mtia_sim
    torch.ones(3, device="mtia_sim").add(1).sum().item()
    after = parts()
    changed = [name for name in before if name in after and before[name][:2] != after[name][:2]]
    added = [name for name in after if name not in before and name.rpartition(".")[0] in modules]
    print(json.dumps([changed, added]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("use_device_first", [False, True])
def test_cpu_compile(use_device_first: bool) -> None:
    run_successfully(
        f"""
        import torch
        if {use_device_first}:
            torch.ones(3).to("mtia_sim")
        module = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.GELU(), torch.nn.Linear(16, 4))
        compiled = torch.compile(module)
        x = torch.randn(5, 8)
        out = compiled(x)
        torch.testing.assert_close(out, module(x))
        out.sum().backward()
        """,
        timeout=300,
    )


def test_cpu_results_generators_and_autocast_are_untouched() -> None:
    program = """
        import torch
        torch.manual_seed(3)
        x = torch.randn(4, 4)
        with torch.autocast("cpu"):
            y = x @ x
        print(x.sum().item(), y.dtype, torch.empty(2).device, torch.get_default_device())
    """
    assert run_successfully(program) == run_successfully(program, TORCH_DEVICE_BACKEND_AUTOLOAD="0")


def test_cpu_data_loader_with_workers() -> None:
    run_successfully(
        """
        import torch
        from torch.utils.data import DataLoader, TensorDataset
        torch.ones(1).to("mtia_sim")
        loader = DataLoader(TensorDataset(torch.arange(20.0)), batch_size=5, num_workers=2)
        assert sum(batch.sum().item() for (batch,) in loader) == 190
        """
    )


def test_default_device_stays_cpu() -> None:
    assert torch.empty(1).device.type == "cpu"


def test_nothing_of_torch_is_patched_but_what_the_page_names() -> None:
    lines = run_successfully(CHANGES, TORCH_DEVICE_BACKEND_AUTOLOAD="0").splitlines()
    changed, added = json.loads(lines[-1])
    owners = {next((each for each in REGISTERED if name.startswith(each)), name) for name in changed}
    assert owners - REGISTERED == PATCHED
    assert all("mtia_sim" in name for name in added)
    text = PAGE.read_text()
    assert all(name in text for name in PATCHED)


@pytest.mark.slow
def test_importing_torch_takes_little_longer() -> None:
    program = """
        import time
        start = time.process_time()
        import torch
        print(time.process_time() - start)
    """
    times: dict[str, list[float]] = {"0": [], "1": []}
    for _ in range(5):
        for autoload, seconds in times.items():
            seconds.append(float(run_successfully(program, TORCH_DEVICE_BACKEND_AUTOLOAD=autoload)))
    assert min(times["1"]) - min(times["0"]) < 0.3  # the least disturbed of each
