"""Programs of one launch that wait for each other, by flags that they read anew; on one and two host threads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import triton
import triton.language as tl

DEVICE = "mtia_sim"
PES = torch.mtia_sim.get_device_properties().multi_processor_count


@triton.jit
def flag_in_the_condition(flag, x, out):
    if tl.program_id(0) == 0:
        while tl.load(flag, volatile=True) == 0:
            pass
        tl.store(out, tl.load(x))
    else:
        tl.store(x, 5.0)
        tl.store(flag, 1)


@triton.jit
def flag_in_the_body(flag, x, out):
    if tl.program_id(0) == 0:
        seen = tl.load(flag, volatile=True)
        while seen == 0:
            seen = tl.load(flag, volatile=True)
        tl.store(out, tl.load(x))
    else:
        tl.store(x, 5.0)
        tl.store(flag, 1)


@triton.jit
def flag_of_a_plain_load(flag, x, out):
    if tl.program_id(0) == 0:
        seen = tl.load(flag)
        while seen == 0:
            seen = tl.load(flag)
        tl.store(out, tl.load(x) * seen)
    else:
        tl.store(x, 5.0)
        tl.store(flag, 1)


@triton.jit
def flag_that_bypasses_caches(flag, x, out):
    if tl.program_id(0) == 0:
        seen = tl.load(flag, cache_modifier=".cv")
        while seen == 0:
            seen = tl.load(flag, cache_modifier=".cv")
        tl.store(out, tl.load(x) * seen)
    else:
        tl.store(x, 5.0)
        tl.store(flag, 1)


@triton.jit
def flag_in_a_tile(flag, x, out):
    places = tl.arange(0, 4)
    if tl.program_id(0) == 0:
        least = tl.min(tl.load(flag + places * 0, volatile=True), 0)
        while least == 0:
            least = tl.min(tl.load(flag + places * 0, volatile=True), 0)
        tl.store(out, tl.load(x))
    else:
        tl.store(x, 5.0)
        tl.store(flag, 1)


@triton.jit
def flag_by_an_atomic(flag, x, out):
    if tl.program_id(0) == 0:
        while tl.atomic_add(flag, 0) == 0:
            pass
        tl.store(out, tl.load(x))
    else:
        tl.store(x, 5.0)
        tl.atomic_xchg(flag, 1)


@pytest.mark.parametrize(
    "kernel",
    [
        flag_in_the_condition,
        flag_in_the_body,
        pytest.param(
            flag_of_a_plain_load,
            marks=pytest.mark.unchecked(reason="a flag that is read by a plain load is a race"),
        ),
        flag_that_bypasses_caches,
        flag_in_a_tile,
        flag_by_an_atomic,
    ],
    ids=lambda kernel: kernel.__name__,
)
def test_a_loop_that_only_waits_is_kept(kernel):
    flag = torch.zeros(1, dtype=torch.int32, device=DEVICE)
    x, out = torch.ones(1, device=DEVICE), torch.zeros(1, device=DEVICE)
    kernel[(2,)](flag, x, out)
    assert out.item() == 5


@triton.jit
def alone(flag):
    while tl.load(flag, volatile=True) == 0:
        pass


def test_a_flag_that_nobody_sets_is_told(monkeypatch):
    script = (
        "import sys, torch; sys.path.insert(0, sys.argv[1]); import test_waiting as t\n"
        "t.alone[(1,)](torch.zeros(1, dtype=torch.int32, device='mtia_sim')); torch.mtia_sim.synchronize()"
    )
    monkeypatch.setenv("MTIA_SIM_LOOP_LIMIT", "5000")
    ended = subprocess.run(
        [sys.executable, "-c", script, str(Path(__file__).parent)], capture_output=True, text=True, timeout=120
    )
    assert "Deadlock" in ended.stderr and "5000 loop iterations" in ended.stderr, ended.stderr[-2000:]


@triton.jit
def look_back(x, out, flags, sums, prefixes, n, BLOCK: tl.constexpr):
    """Prefix sums in one pass: a program adds up what those before it have found (Merrill and Garland, 2016)."""
    program = tl.program_id(0)
    offsets = program * BLOCK + tl.arange(0, BLOCK)
    values = tl.load(x + offsets, mask=offsets < n, other=0)
    total = tl.sum(values, 0)
    tl.store(sums + program, total)
    tl.debug_barrier()
    tl.store(flags + program, 1)
    before = tl.zeros((), tl.int64)
    place = program - 1
    while place >= 0:
        state = tl.load(flags + place, volatile=True)
        while state == 0:
            state = tl.load(flags + place, volatile=True)
        if state == 2:
            before += tl.load(prefixes + place, volatile=True)
            place = -1
        else:
            before += tl.load(sums + place, volatile=True)
            place -= 1
    tl.store(prefixes + program, before + total)
    tl.debug_barrier()
    tl.store(flags + program, 2)
    tl.store(out + offsets, tl.cumsum(values, 0) + before, mask=offsets < n)


def check_look_back(programs: int) -> None:
    n = 64 * programs - 17
    x = torch.randint(-1000, 1000, (n,), generator=torch.Generator().manual_seed(programs))
    flags = torch.zeros(programs, dtype=torch.int32, device=DEVICE)
    sums, prefixes = torch.zeros(2, programs, dtype=torch.int64, device=DEVICE)
    out = torch.zeros(n, dtype=torch.int64, device=DEVICE)
    look_back[(programs,)](x.to(DEVICE), out, flags, sums, prefixes, n, BLOCK=64)
    assert torch.equal(out.cpu(), x.cumsum(0))


@triton.jit
def wait_for(flags, wanted, out, COUNT: tl.constexpr):
    program = tl.program_id(0)
    total = program.to(tl.int64) + 1
    for number in range(COUNT):
        other = tl.load(wanted + program * COUNT + number)
        if other >= 0:
            while tl.load(flags + other, volatile=True) == 0:
                pass
            total += tl.load(out + other) % 1000003
    tl.store(out + program, total)
    tl.debug_barrier()
    tl.store(flags + program, 1)


def check_random_waits(programs: int, seed: int, count: int = 3) -> float:
    """Every program waits for some of those that are on PEs when it is, in a random order, and for any earlier ones."""
    generator = torch.Generator().manual_seed(seed)
    rank = [torch.randperm(PES, generator=generator).tolist() for _ in range(programs // PES + 1)]
    wanted = torch.full((programs, count), -1, dtype=torch.int32)
    order = sorted(range(programs), key=lambda program: (program // PES, rank[program // PES][program % PES]))
    for place, program in enumerate(order):
        for number in range(count):
            if place and torch.rand((), generator=generator) < 0.7:
                near = place - min(place, PES if number else 4)
                wanted[program, number] = order[int(torch.randint(near, place, (), generator=generator))]
    expected = [0] * programs
    for program in order:
        chosen = [other for other in wanted[program].tolist() if other >= 0]
        expected[program] = program + 1 + sum(expected[other] % 1000003 for other in chosen)
    flags = torch.zeros(programs, dtype=torch.int32, device=DEVICE)
    out = torch.zeros(programs, dtype=torch.int64, device=DEVICE)
    torch.mtia_sim.reset_perf_counters()
    wait_for[(programs,)](flags, wanted.to(DEVICE), out, COUNT=count)
    assert out.tolist() == expected
    return torch.mtia_sim.perf_counters()["cycles"]


@triton.jit
def ping_pong(flags, out, ROUNDS: tl.constexpr):
    """Two programs in turns: each waits for what the other does after it has waited itself."""
    mine = tl.program_id(0)
    total = mine.to(tl.int64) * 0
    for number in range(ROUNDS):
        turn = 2 * number + mine
        while tl.load(flags, volatile=True) != turn:
            pass
        total += tl.load(out + 1 - mine, volatile=True) + 1
        tl.store(out + mine, total)
        tl.debug_barrier()
        tl.store(flags, turn + 1)


def check_ping_pong(rounds: int) -> None:
    flags, out = torch.zeros(1, dtype=torch.int32, device=DEVICE), torch.zeros(2, dtype=torch.int64, device=DEVICE)
    ping_pong[(2,)](flags, out, ROUNDS=rounds)
    both = [0, 0]
    for turn in range(2 * rounds):
        both[turn % 2] += both[1 - turn % 2] + 1
    assert out.tolist() == both


@triton.jit
def messages(box, out, PROGRAMS: tl.constexpr):
    """A token that goes around all programs twice, from the last to the first."""
    program = tl.program_id(0)
    for lap in range(2):
        turn = lap * PROGRAMS + PROGRAMS - 1 - program
        while tl.load(box, volatile=True) != turn:
            pass
        tl.store(out + turn, program)
        tl.debug_barrier()
        tl.store(box, turn + 1)


def check_messages(programs: int) -> None:
    box = torch.zeros(1, dtype=torch.int32, device=DEVICE)
    out = torch.full((2 * programs,), -1, dtype=torch.int32, device=DEVICE)
    messages[(programs,)](box, out, PROGRAMS=programs)
    assert out.tolist() == [*reversed(range(programs))] * 2


def check_all() -> list[float]:
    for programs in (1, 2, PES, PES + 1, 3 * PES + 5):
        check_look_back(programs)
    check_ping_pong(5)
    check_messages(PES)
    return [check_random_waits(programs, seed) for seed, programs in enumerate((2, 7, PES, PES + 3, 4 * PES - 1) * 3)]


def test_waits_of_more_programs_than_pes():
    check_look_back(PES + 1)
    check_ping_pong(2)
    check_random_waits(PES + 3, seed=1)


@pytest.mark.slow
def test_waits_in_any_pattern_and_on_any_number_of_threads():
    """More programs than PEs, waiting for earlier ones and for later ones that are on other PEs; the same chip time."""
    here = str(Path(__file__).parent)
    script = "import sys; sys.path.insert(0, sys.argv[1]); import test_waiting as t; print('cycles', t.check_all())"
    told = []
    for threads in ("1", "2"):
        ended = subprocess.run(
            [sys.executable, "-c", script, here],
            env=os.environ | {"MTIA_SIM_THREADS": threads},
            capture_output=True,
            text=True,
            timeout=1200,
        )
        assert ended.returncode == 0, ended.stderr[-3000:]
        told.append(ended.stdout)
    assert told[0] == told[1] and told[0].startswith("cycles [")


@triton.jit
def loads_again(x, out):
    first = tl.load(x, volatile=True)
    tl.store(x, first + 1)
    second = tl.load(x, volatile=True)
    tl.store(x, second + 1)
    tl.store(out, first * 100 + second * 10 + tl.load(x, volatile=True))


def test_a_volatile_load_reads_each_time():
    x, out = torch.full((1,), 3, dtype=torch.int32, device=DEVICE), torch.zeros(1, dtype=torch.int32, device=DEVICE)
    loads_again[(1,)](x, out)
    assert (x.item(), out.item()) == (5, 345)


@triton.jit
def product_of_what_was_loaded(a, flag, out, SIZE: tl.constexpr):
    """The second program changes the operand after the first has loaded it and before it multiplies."""
    cells = tl.arange(0, SIZE)[:, None] * SIZE + tl.arange(0, SIZE)[None, :]
    if tl.program_id(0) == 0:
        tile = tl.load(a + cells)
        tl.store(flag, 1)
        while tl.load(flag, volatile=True) != 2:
            pass
        tl.store(out + cells, tl.dot(tile, tile))
    else:
        while tl.load(flag, volatile=True) != 1:
            pass
        tl.store(a + cells, tl.zeros((SIZE, SIZE), tl.float32))
        tl.debug_barrier()
        tl.store(flag, 2)


def test_a_tile_is_what_it_was_when_it_was_loaded():
    a = torch.randn(16, 16, generator=torch.Generator().manual_seed(1))
    placed, out = a.to(DEVICE), torch.zeros(16, 16, device=DEVICE)
    product_of_what_was_loaded[(2,)](placed, torch.zeros(1, dtype=torch.int32, device=DEVICE), out, SIZE=16)
    torch.testing.assert_close(out.cpu(), a @ a, rtol=1e-5, atol=1e-5)
    assert placed.abs().max().item() == 0
