"""The Philox generator: seeds, offsets and 16-byte states. What kernels draw from it is tested with the kernels."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.checkpoint import checkpoint

DEVICE = "mtia_sim"


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


def test_a_shared_state_draws_on_from_where_the_other_is() -> None:
    generator = torch.Generator(DEVICE).manual_seed(5)
    shared, copied = generator.graphsafe_get_state(), generator.clone_state()
    first = torch.rand(4, device=DEVICE, generator=generator)
    assert torch.equal(torch.rand(4, device=DEVICE, generator=copied), first)
    assert shared.get_offset() == generator.get_offset() != 0
    generator.graphsafe_set_state(copied)
    torch.rand(4, device=DEVICE, generator=generator)
    assert copied.get_offset() == generator.get_offset() != shared.get_offset()


def test_a_compiled_function_draws_a_recomputed_mask_again() -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        return checkpoint(lambda x: torch.nn.functional.dropout(x.exp(), 0.5).sin(), x, use_reentrant=False)

    compiled = torch.compile(function, backend="aot_eager")
    x = torch.ones(256, device=DEVICE, requires_grad=True)
    for _ in range(2):
        x.grad = None
        y = compiled(x)
        y.sum().backward()
        assert x.grad is not None and torch.equal(x.grad == 0, y == 0) and 64 < (y == 0).sum().item() < 192


def test_states_are_set_under_fake_tensors_too() -> None:
    """As torch.distributed's LocalTensor does around each operator that it propagates."""
    state = torch.mtia_sim.get_rng_state()
    drawn = torch.rand(5, device="mtia_sim").cpu()
    with FakeTensorMode():
        torch.mtia_sim.set_rng_state(state)
    assert torch.equal(torch.rand(5, device="mtia_sim").cpu(), drawn)
