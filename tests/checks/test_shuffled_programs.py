"""check(seed=...): programs whose order matters run in another one that the chip could take."""

import pytest
import torch
import triton
import triton.language as tl

PROGRAMS = 40


@triton.jit
def take_tickets(counter, tickets):
    tl.store(tickets + tl.program_id(0), tl.atomic_add(counter, 1))


@triton.jit
def wait_for_turn(turn, order):
    """Each program waits until the one of the next number has been: the last one goes first."""
    program = tl.program_id(0)
    while tl.atomic_add(turn, 0) != tl.num_programs(0) - 1 - program:
        pass
    tl.store(order + program, tl.atomic_add(turn, 1))


def tickets(seed: int) -> list[int]:
    torch.mtia_sim.clear_findings()
    with torch.mtia_sim.check(seed=seed):
        counter = torch.zeros(1, dtype=torch.int32, device="mtia_sim")
        taken = torch.empty(PROGRAMS, dtype=torch.int32, device="mtia_sim")
        take_tickets[(PROGRAMS,)](counter, taken)
        result = taken.tolist()
    assert torch.mtia_sim.findings() == []
    return result


@pytest.mark.unchecked(reason="on_finding and seed are the outer period's")
def test_programs_are_shuffled_by_the_seed() -> None:
    in_order = list(range(PROGRAMS))
    assert tickets(0) == in_order
    shuffled = tickets(3)
    assert sorted(shuffled) == in_order != shuffled
    assert tickets(3) == shuffled != tickets(4)


def test_programs_that_wait_for_others() -> None:
    for seed in (0, 5, 6):
        with torch.mtia_sim.check(seed=seed):
            turn = torch.zeros(1, dtype=torch.int32, device="mtia_sim")
            order = torch.empty(8, dtype=torch.int32, device="mtia_sim")
            wait_for_turn[(8,)](turn, order)
            assert order.tolist() == list(range(7, -1, -1))
