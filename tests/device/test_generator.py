"""The Philox generator: seeds, offsets and 16-byte states. What kernels draw from it is tested with the kernels."""

import pytest
import torch


def test_the_state_is_seed_and_offset() -> None:
    generator = torch.Generator(device="mtia_sim")
    generator.manual_seed(0x0123456789ABCDEF)
    state = generator.get_state()
    assert state.dtype == torch.uint8 and state.device.type == "cpu" and state.numel() == 16
    assert state.view(torch.int64).tolist() == [0x0123456789ABCDEF, 0]
    state.view(torch.int64)[1] = 40
    generator.set_state(state)
    assert generator.initial_seed() == 0x0123456789ABCDEF
    assert generator.get_offset() == 40
    generator.set_offset(8)
    assert generator.get_state().view(torch.int64).tolist()[1] == 8


def test_seeding_everything_seeds_every_device() -> None:
    torch.manual_seed(1234)
    assert torch.mtia_sim.initial_seed() == 1234
    assert all(state.view(torch.int64).tolist() == [1234, 0] for state in torch.mtia_sim.get_rng_state_all())
    torch.mtia_sim.manual_seed(5)
    assert torch.mtia_sim.initial_seed() == 5
    assert torch.mtia_sim.get_rng_state("mtia_sim:1").view(torch.int64)[0] == 1234
    torch.mtia_sim.manual_seed_all(6)
    assert torch.mtia_sim.get_rng_state(1).view(torch.int64)[0] == 6


def test_states_are_restored() -> None:
    torch.mtia_sim.manual_seed_all(77)
    states = torch.mtia_sim.get_rng_state_all()
    torch.mtia_sim.seed_all()
    assert torch.mtia_sim.initial_seed() != 77
    torch.mtia_sim.set_rng_state_all(states)
    assert [state.tolist() for state in torch.mtia_sim.get_rng_state_all()] == [state.tolist() for state in states]
    with torch.random.fork_rng(devices=[0, 1], device_type="mtia_sim"):
        torch.mtia_sim.manual_seed_all(1)
    assert torch.mtia_sim.initial_seed() == 77


def test_a_clone_goes_its_own_way() -> None:
    generator = torch.Generator(device="mtia_sim:1")
    generator.manual_seed(3)
    clone = generator.clone_state()
    clone.manual_seed(4)
    assert generator.initial_seed() == 3 and clone.initial_seed() == 4
    assert clone.device == torch.device("mtia_sim:1")


@pytest.mark.parametrize("state", [torch.zeros(16), torch.zeros(15, dtype=torch.uint8)])
def test_a_wrong_state_is_refused(state: torch.Tensor) -> None:
    with pytest.raises((ValueError, TypeError, RuntimeError), match=r"(?i)state|dtype|uint8|ByteTensor"):
        torch.Generator(device="mtia_sim").set_state(state)
