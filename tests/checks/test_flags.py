"""Programs that order each other by flags: volatile loads order as atomics do, and only what a flag guards."""

import pytest
import torch
import triton
import triton.language as tl

from mtia_core.errors import DataRace

DEVICE = "mtia_sim"


@triton.jit
def hand_over(flag, x, out, LATE: tl.constexpr, PLAIN: tl.constexpr, ATOMIC: tl.constexpr):
    """Program 1 sets the flag, before or after it has written all; the others read the flag and what it guards."""
    if tl.program_id(0) == 1:
        tl.store(x, 5.0)
        if not LATE:
            tl.store(x + 1, 7.0)
        if ATOMIC:
            tl.atomic_xchg(flag, 1)
        else:
            tl.store(flag, 1)
        if LATE:
            tl.store(x + 1, 7.0)
    else:
        if PLAIN:
            seen = tl.load(flag)
            while seen == 0:
                seen = tl.load(flag)
        else:
            while tl.load(flag, volatile=True) == 0:
                pass
        tl.store(out + tl.program_id(0), tl.load(x) + tl.load(x + 1))


def run(late: bool = False, plain: bool = False, atomic: bool = False) -> torch.Tensor:
    flag = torch.zeros(1, dtype=torch.int32, device=DEVICE)
    x, out = torch.zeros(2, device=DEVICE), torch.zeros(3, device=DEVICE)
    with torch.mtia_sim.check():
        hand_over[(3,)](flag, x, out, LATE=late, PLAIN=plain, ATOMIC=atomic)
        torch.mtia_sim.synchronize()
    return out.cpu()


@pytest.mark.parametrize("atomic", [False, True])
def test_a_volatile_load_orders_what_follows_behind_what_it_read(atomic: bool) -> None:
    assert run(atomic=atomic).tolist() == [12.0, 0.0, 12.0]


@pytest.mark.finds
@pytest.mark.parametrize("atomic", [False, True])
def test_what_is_written_after_the_flag_is_a_race(atomic: bool) -> None:
    with pytest.raises(DataRace, match=r"element \(1,\) of x"):
        run(late=True, atomic=atomic)


@pytest.mark.finds
def test_a_flag_of_plain_loads_is_a_race() -> None:
    with pytest.raises(DataRace):
        run(plain=True)


@triton.jit
def pass_on(flags, x, out, GUARDED: tl.constexpr):
    """A chain: each program waits for the one before it. What the first wrote is known to the last."""
    program = tl.program_id(0)
    if program == 0:
        tl.store(x, 3.0)
    elif GUARDED:
        while tl.load(flags + program - 1, volatile=True) == 0:
            pass
    else:  # another's flag, that nobody sets
        tl.store(out, tl.load(flags + tl.num_programs(0), volatile=True).to(tl.float32))
    tl.store(flags + program, 1)
    if program == tl.num_programs(0) - 1:
        tl.store(out, tl.load(x))


def chain(guarded: bool, programs: int) -> float:
    flags = torch.zeros(programs + 1, dtype=torch.int32, device=DEVICE)
    x, out = torch.zeros(1, device=DEVICE), torch.zeros(1, device=DEVICE)
    with torch.mtia_sim.check():
        pass_on[(programs,)](flags, x, out, GUARDED=guarded)
        torch.mtia_sim.synchronize()
    return out.item()


def test_order_passes_through_programs_between() -> None:
    assert chain(guarded=True, programs=5) == 3.0


@pytest.mark.finds
def test_a_flag_that_nobody_set_orders_nothing() -> None:
    with pytest.raises(DataRace, match="of x"):
        chain(guarded=False, programs=2)
