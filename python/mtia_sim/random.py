"""Seeds and states of the devices' Philox generators. A state is 16 bytes: seed, then offset."""

from collections.abc import Iterable
from typing import Any

import torch
from torch._functorch._aot_autograd.utils import register_graphsafe_rng_device_type

from mtia_sim import _C
from mtia_sim._utils import _get_device_index

# One a device, in order of their indices.
default_generators: tuple[torch.Generator, ...] = tuple(
    _C.default_generator(index) for index in range(_C.device_count())
)


def _generator(device: Any) -> torch.Generator:
    index = _get_device_index(device, optional=True)
    if not 0 <= index < len(default_generators):
        raise ValueError(f"mtia_sim has no device {index}: there are {len(default_generators)} (MTIA_SIM_DEVICE_COUNT)")
    return default_generators[index]


_get_generator = _generator  # the name by which torch's compiler asks


def register() -> None:
    """Lets compiled functions keep generators' states for what they compute again in the backward pass."""
    register_graphsafe_rng_device_type("mtia_sim")


def get_rng_state(device: Any = "mtia_sim") -> torch.Tensor:
    """State of a device's generator as a CPU tensor of 16 bytes."""
    return _generator(device).get_state()


def get_rng_state_all() -> list[torch.Tensor]:
    """States of all devices' generators."""
    return [generator.get_state() for generator in default_generators]


def set_rng_state(new_state: torch.Tensor, device: Any = "mtia_sim") -> None:
    """Sets the state of a device's generator to what get_rng_state returned."""
    # No operator where there is nothing to move: a mode of fake tensors would take it.
    _generator(device).set_state(new_state if new_state.device.type == "cpu" else new_state.cpu())


def set_rng_state_all(new_states: Iterable[torch.Tensor]) -> None:
    """Sets the states of all devices' generators."""
    for index, state in enumerate(new_states):
        set_rng_state(state, index)


def manual_seed(seed: int) -> None:
    """Seeds the current device's generator."""
    _generator(None).manual_seed(int(seed))


def manual_seed_all(seed: int) -> None:
    """Seeds the generators of all devices."""
    for generator in default_generators:
        generator.manual_seed(int(seed))


def seed() -> int:
    """Seeds the current device's generator with a number from the system, and returns it."""
    return _generator(None).seed()


def seed_all() -> None:
    """Seeds all devices' generators with one number from the system."""
    manual_seed_all(seed())


def initial_seed() -> int:
    """The seed of the current device's generator."""
    return _generator(None).initial_seed()
