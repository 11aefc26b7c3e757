"""torch.mtia_sim: the API of torch.mtia, the devices, their properties, and how the module gets there."""

import pytest
import torch
import triton
import triton.testing

from mtia_core.errors import InvalidArgument
from tests.device.subprocesses import run, run_successfully

# torch.mtia's names that have a meaning for an emulated device.
MIRRORED = [
    "init",
    "is_available",
    "is_initialized",
    "synchronize",
    "device_count",
    "current_device",
    "set_device",
    "device",
    "current_stream",
    "default_stream",
    "set_stream",
    "stream",
    "Stream",
    "Event",
    "memory_stats",
    "max_memory_allocated",
    "memory_allocated",
    "reset_peak_memory_stats",
    "empty_cache",
    "get_device_capability",
    "get_device_properties",
    "is_bf16_supported",
    "snapshot",
    "record_memory_history",
    "attach_out_of_memory_observer",
    "get_rng_state",
    "get_rng_state_all",
    "set_rng_state",
    "set_rng_state_all",
    "manual_seed",
    "manual_seed_all",
    "seed",
    "seed_all",
    "initial_seed",
    "StreamContext",
    "_is_in_bad_fork",
    "_lazy_init",
    "memory",
]


@pytest.mark.parametrize("name", MIRRORED)
def test_mirrors_torch_mtia(name: str) -> None:
    assert hasattr(torch.mtia, name), "the list above is out of date"
    assert hasattr(torch.mtia_sim, name)


def test_import_of_torch_alone_is_enough_and_initialises_nothing() -> None:
    out = run_successfully(
        """
        import sys, torch
        assert not torch.mtia_sim.is_initialized()
        assert "triton" not in sys.modules
        x = torch.empty(3, device="mtia_sim")
        assert torch.mtia_sim.is_initialized()
        print(x.device, torch.accelerator.current_accelerator())
        """
    )
    assert out.split() == ["mtia_sim:0", "mtia_sim"]


def test_works_without_autoload_and_in_either_import_order() -> None:
    run_successfully(
        "import mtia_sim, torch; assert torch.mtia_sim is mtia_sim; torch.empty(1, device='mtia_sim')",
        TORCH_DEVICE_BACKEND_AUTOLOAD="0",
    )
    run_successfully("import mtia_sim, torch; assert torch.mtia_sim is mtia_sim; torch.empty(1, device='mtia_sim')")


def test_device_count_comes_from_the_environment() -> None:
    program = "import torch; print(torch.mtia_sim.device_count(), len(torch.mtia_sim.get_rng_state_all()))"
    assert run_successfully(program, MTIA_SIM_DEVICE_COUNT="5").split() == ["5", "5"]
    assert run_successfully(program, MTIA_SIM_DEVICE_COUNT="").split() == ["2", "2"]


@pytest.mark.parametrize("count", ["0", "two"])
def test_a_wrong_device_count_leaves_torch_usable_and_names_the_variable(count: str) -> None:
    done = run(
        "import torch; assert torch.ones(2).sum() == 2; assert not torch.mtia_sim.is_available();"
        "torch.empty(1, device='mtia_sim')",
        MTIA_SIM_DEVICE_COUNT=count,
    )
    assert done.returncode == 1
    assert "MTIA_SIM_DEVICE_COUNT" in done.stderr and count in done.stderr and "1 to 64" in done.stderr


def test_current_device_is_per_context() -> None:
    assert torch.mtia_sim.current_device() == 0
    with torch.mtia_sim.device(1):
        assert torch.mtia_sim.current_device() == 1
        assert torch.empty(1, device="mtia_sim").device.index == 1
        with torch.mtia_sim.device(None):
            assert torch.mtia_sim.current_device() == 1
        with torch.mtia_sim.device_of(torch.empty(1, device="mtia_sim:0")):
            assert torch.mtia_sim.current_device() == 0
        with torch.mtia_sim.device_of(torch.empty(1)):
            assert torch.mtia_sim.current_device() == 1
        with torch.mtia_sim._DeviceGuard(0):
            assert torch.mtia_sim.current_device() == 0
    assert torch.mtia_sim.current_device() == 0
    torch.accelerator.set_device_index(1)
    assert torch.mtia_sim.current_device() == 1


@pytest.mark.parametrize("act", [torch.mtia_sim.set_device, lambda index: torch.empty(1, device=f"mtia_sim:{index}")])
def test_an_index_out_of_range_is_refused(act: object) -> None:
    with pytest.raises(ValueError, match=r"device index 7 is out of range; there are 2 devices.*MTIA_SIM_DEVICE_COUNT"):
        act(7)  # type: ignore[operator]


def test_properties_are_the_chips() -> None:
    properties = torch.mtia_sim.get_device_properties()
    assert properties.name == torch.mtia_sim.get_device_name()
    assert torch.mtia_sim.mem_get_info()[1] == properties.total_memory
    assert properties.peak_flops[torch.bfloat16] > properties.peak_flops[torch.float32] > 0
    assert properties.multi_processor_count > 0
    assert torch.mtia_sim.get_device_capability() == (properties.major, properties.minor)
    capability = torch.accelerator.get_device_capability()
    assert torch.bfloat16 in capability["supported_dtypes"]


def test_properties_that_tuners_read() -> None:
    """Under torch.cuda's names, and in Triton's driver; the arithmetic that tuners do with them gives numbers."""
    properties = torch.mtia_sim.get_device_properties()
    of_triton = triton.runtime.driver.active.utils.get_device_properties(0)
    local = properties.local_memory_per_processing_element
    assert properties.shared_memory_per_block == properties.shared_memory_per_block_optin == local
    assert properties.shared_memory_per_multiprocessor == of_triton["max_shared_mem"] == local
    assert 0 < properties.L2_cache_size <= properties.shared_sram
    assert properties.regs_per_multiprocessor == of_triton["max_num_regs"]
    assert properties.warp_size == of_triton["warpSize"]
    for num_warps in (1, 4, 32):
        assert properties.max_threads_per_multi_processor // (num_warps * properties.warp_size) > 0
        assert properties.max_threads_per_block >= num_warps * properties.warp_size
    gigabytes = triton.testing.get_dram_gbps(0)
    assert gigabytes == pytest.approx(properties.memory_bandwidth / 1e9, rel=1e-3)
    with pytest.raises(AttributeError):
        _ = properties.gcnArchName


@pytest.mark.parametrize(("text", "expected"), [("9.0", (9, 0)), ("10.3", (10, 3)), ("", (1, 0))])
def test_capability_of_the_environment(text: str, expected: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTIA_SIM_CAPABILITY", text)
    assert torch.mtia_sim.get_device_capability() == torch.mtia_sim.get_device_capability("mtia_sim:1") == expected
    properties = torch.mtia_sim.get_device_properties(0)
    assert (properties.major, properties.minor) == expected


@pytest.mark.parametrize("text", ["9", "nine", "9.0.1", "-1.0"])
def test_a_capability_that_is_none(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTIA_SIM_CAPABILITY", text)
    with pytest.raises(InvalidArgument, match=r"MTIA_SIM_CAPABILITY is .*such as 9\.0"):
        torch.mtia_sim.get_device_capability()


def test_the_chip_is_chosen_by_the_environment_or_before_the_first_tensor() -> None:
    program = "import torch; torch.empty(1, device='mtia_sim'); print(torch.mtia_sim.get_device_name())"
    assert run_successfully(program, MTIA_SIM_CHIP="mtia1").strip() == "mtia1"
    out = run_successfully(
        """
        import torch
        torch.mtia_sim.set_chip("mtia2i")
        print(torch.mtia_sim.get_device_name(), torch.mtia_sim.mem_get_info()[1])
        torch.empty(1, device="mtia_sim")
        try:
            torch.mtia_sim.set_chip("mtia1")
        except ValueError as error:
            print("refused")
        print(torch.mtia_sim.get_device_name())
        """
    ).split()
    assert out == ["mtia2i", str(64 << 30), "refused", "mtia2i"] or out[2:] == ["refused", "mtia2i"]


def test_generated_methods() -> None:
    tensor = torch.ones(3).mtia_sim()
    assert tensor.is_mtia_sim and tensor.device.type == "mtia_sim"
    module = torch.nn.Linear(2, 3).mtia_sim()
    assert all(parameter.is_mtia_sim for parameter in module.parameters())
    assert torch.ones(3).untyped_storage().mtia_sim().device.type == "mtia_sim"


@pytest.mark.parametrize("chosen", ["torch.mtia_sim.set_device(1)", "torch.accelerator.set_device_index(1)"])
def test_fake_tensors_are_on_the_chosen_device_before_its_first_use_too(chosen: str) -> None:
    program = f"""
        import torch
        from torch._subclasses.fake_tensor import FakeTensorMode
        {chosen}
        for _ in range(2):
            with FakeTensorMode():
                print(torch.empty(3, device="mtia_sim").device.index)
            torch.ones(3, device="mtia_sim")
    """
    assert run_successfully(program).split() == ["1", "1"]
