"""Every collective and message of the process group, with real values between processes."""

import re
from pathlib import Path

import pytest

from tests.distributed.ranks import run

COLLECTIVES = """
def part(rank, dtype, *shape):
    generator = torch.Generator().manual_seed(100 + rank)
    if dtype.is_floating_point:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)
    return torch.randint(-9, 9, shape, generator=generator).to(dtype)

def poisoned(*shape, dtype):
    return torch.full(shape, 77, dtype=dtype, device=DEVICE)

def held(got, want):
    assert got.device == DEVICE and got.dtype == want.dtype, (got.device, got.dtype)
    assert torch.equal(got.cpu(), want), (got.cpu() - want).abs().max()

def in_order(parts, combine, average=False):
    wide = parts[0].dtype if parts[0].dtype in (torch.float64, torch.int32, torch.int64) else torch.float32
    total = parts[0].to(wide)
    for other in parts[1:]:
        total = combine(total, other.to(wide))
    return (total / SIZE if average else total).to(parts[0].dtype)

OPERATIONS = {
    dist.ReduceOp.SUM: torch.add, dist.ReduceOp.AVG: torch.add, dist.ReduceOp.PRODUCT: torch.mul,
    dist.ReduceOp.MIN: torch.minimum, dist.ReduceOp.MAX: torch.maximum,
}
for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int32, torch.int64):
    for count in (1, 2, 1003, 5000):
        parts = [part(rank, dtype, count) for rank in range(SIZE)]
        mine = parts[RANK].to(DEVICE)
        for operation, combine in OPERATIONS.items():
            average = operation == dist.ReduceOp.AVG
            if average and not dtype.is_floating_point:
                continue
            want = in_order(parts, combine, average)
            got = mine.clone()
            dist.all_reduce(got, op=operation)
            held(got, want)
            got = mine.clone()
            dist.reduce(got, SIZE - 1, op=operation)
            held(got, want if RANK == SIZE - 1 else parts[RANK])
        for root in range(SIZE):
            got = mine.clone()
            dist.broadcast(got, root)
            held(got, parts[root])
        outputs = [poisoned(count, dtype=dtype) for _ in range(SIZE)]
        dist.all_gather(outputs, mine)
        for got, want in zip(outputs, parts):
            held(got, want)
        got = poisoned(SIZE * count, dtype=dtype)
        dist.all_gather_into_tensor(got, mine)
        held(got, torch.cat(parts))
        whole = [part(10 + rank, dtype, SIZE * count) for rank in range(SIZE)]
        got = poisoned(count, dtype=dtype)
        dist.reduce_scatter_tensor(got, whole[RANK].to(DEVICE))
        want = in_order([each[RANK * count : (RANK + 1) * count] for each in whole], torch.add)
        held(got, want)
        got = poisoned(count, dtype=dtype)
        dist.reduce_scatter(got, list(whole[RANK].to(DEVICE).chunk(SIZE)))
        held(got, want)
        got = poisoned(SIZE * count, dtype=dtype)
        dist.all_to_all_single(got, whole[RANK].to(DEVICE))
        held(got, torch.cat([each[RANK * count : (RANK + 1) * count] for each in whole]))
        outputs = [poisoned(count, dtype=dtype) for _ in range(SIZE)]
        dist.all_to_all(outputs, list(whole[RANK].to(DEVICE).chunk(SIZE)))
        for got, each in zip(outputs, whole):
            held(got, each[RANK * count : (RANK + 1) * count])
        outputs = [poisoned(count, dtype=dtype) for _ in range(SIZE)] if RANK == 0 else None
        dist.gather(mine, outputs, dst=0)
        for got, want in zip(outputs or [], parts):
            held(got, want)
        got = poisoned(count, dtype=dtype)
        dist.scatter(got, list(whole[0].to(DEVICE).chunk(SIZE)) if RANK == 0 else None, src=0)
        held(got, whole[0][RANK * count : (RANK + 1) * count])

# Rows of unequal number, and none at all.
sent = [(RANK + other) % 3 for other in range(SIZE)]
taken = [(other + RANK) % 3 for other in range(SIZE)]
rows = torch.arange(sum(sent) * 2, device=DEVICE).view(-1, 2) + 100 * RANK
got = poisoned(sum(taken), 2, dtype=torch.int64)
dist.all_to_all_single(got, rows, taken, sent)
first = [sum((other + i) % 3 for i in range(RANK)) for other in range(SIZE)]
held(got, torch.cat([
    torch.arange(2 * first[other], 2 * (first[other] + taken[other])).view(-1, 2) + 100 * other for other in range(SIZE)
]))

flags = torch.tensor([RANK == 0, True, False], device=DEVICE)
dist.all_reduce(flags, op=dist.ReduceOp.MAX)
held(flags, torch.tensor([True, True, False]))
bits = torch.tensor([1 << RANK, 3], device=DEVICE)
dist.all_reduce(bits, op=dist.ReduceOp.BXOR)
held(bits, torch.tensor([2**SIZE - 1, 3 if SIZE % 2 else 0]))
pairs = torch.complex(torch.full((5,), float(RANK)), torch.ones(5)).to(DEVICE)
dist.all_reduce(pairs)
held(pairs, torch.complex(torch.full((5,), float(sum(range(SIZE)))), torch.full((5,), float(SIZE))))

# Several at once, and sums of what is multiplied first.
ones = [torch.full((n,), float(RANK + n), device=DEVICE) for n in (3, 700)]
with dist._coalescing_manager(device=DEVICE):
    for one in ones:
        dist.all_reduce(one)
for n, one in zip((3, 700), ones):
    held(one, torch.full((n,), float(sum(range(SIZE)) + SIZE * n)))
wide = [poisoned(SIZE * n, dtype=torch.float32) for n in (3, 700)]
with dist._coalescing_manager(device=DEVICE):
    for got, n in zip(wide, (3, 700)):
        dist.all_gather_into_tensor(got, part(RANK, torch.float32, n).to(DEVICE))
for got, n in zip(wide, (3, 700)):
    held(got, torch.cat([part(rank, torch.float32, n) for rank in range(SIZE)]))
narrow = [poisoned(n, dtype=torch.float32) for n in (3, 700)]
with dist._coalescing_manager(device=DEVICE):
    for got, n in zip(narrow, (3, 700)):
        dist.reduce_scatter_tensor(got, part(RANK, torch.float32, SIZE * n).to(DEVICE))
for got, n in zip(narrow, (3, 700)):
    pieces = [part(rank, torch.float32, SIZE * n)[RANK * n : (RANK + 1) * n] for rank in range(SIZE)]
    held(got, in_order(pieces, torch.add))
halved = torch.full((9,), float(RANK), device=DEVICE)
dist.all_reduce(halved, op=dist._make_nccl_premul_sum(0.5))
held(halved, torch.full((9,), sum(range(SIZE)) / 2))

# Messages, in a batch too, and of any rank.
after, before = (RANK + 1) % SIZE, (RANK - 1) % SIZE
got, mine = poisoned(300, dtype=torch.float32), part(RANK, torch.float32, 300)
works = dist.batch_isend_irecv([
    dist.P2POp(dist.isend, mine.to(DEVICE), after), dist.P2POp(dist.irecv, got, before)
])
for work in works:
    work.wait()
held(got, part(before, torch.float32, 300))
if RANK == 0:
    for _ in range(SIZE - 1):
        got = poisoned(4, dtype=torch.int64)
        source = dist.recv(got)
        held(got, torch.full((4,), source))
else:
    dist.send(torch.full((4,), RANK, device=DEVICE), 0)

# One group for both kinds of memory, part of the ranks, several at once, and what is not waited for.
host = torch.full((3,), float(RANK))
dist.all_reduce(host)
assert host.tolist() == [sum(range(SIZE))] * 3
pair = dist.new_group([0, SIZE - 1])
if RANK in (0, SIZE - 1):
    value = torch.full((2,), float(RANK), device=DEVICE)
    dist.all_reduce(value, group=pair)
    held(value, torch.full((2,), float(SIZE - 1)))
values = [torch.full((50,), float(RANK + i), device=DEVICE) for i in range(5)]
works = [dist.all_reduce(value, async_op=True) for value in values]
torch.mtia_sim.synchronize()
for i, value in enumerate(values):
    held(value, torch.full((50,), float(sum(range(SIZE)) + i * SIZE)))
dist.barrier()
objects = [None] * SIZE
dist.all_gather_object(objects, {"rank": RANK})
assert objects == [{"rank": rank} for rank in range(SIZE)]

# Chip time: everybody ends when the last has come.
values = torch.ones(1 << 16, device=DEVICE)
if RANK == 0:
    for _ in range(20):
        values = values * 1.0
dist.all_reduce(values)
event = torch.mtia_sim.Event(enable_timing=True)
counters = torch.mtia_sim.perf_counters()
assert counters["collectives"] > 100 and counters["collective_seconds"] > 0 and counters["bytes"]["peers"] > 0
ends = torch.tensor([counters["elapsed_seconds"]], dtype=torch.float64)
all_ends = [torch.zeros(1, dtype=torch.float64) for _ in range(SIZE)]
dist.all_gather(all_ends, ends)
assert len({end.item() for end in all_ends}) == 1, all_ends
dist.destroy_process_group()
print("done")
"""


@pytest.mark.parametrize("size", [2, 3])
def test_collectives(size: int, tmp_path: Path) -> None:
    """Bits as of a sum in the order of ranks, in float32 for halves."""
    assert all(text.endswith("done\n") for text in run(COLLECTIVES, size, tmp_path))


FAULTS = {
    "sizes": ("x = x if RANK == 0 else x[1:].clone()\ndist.all_reduce(x)", "rank . of group 0 calls all_reduce sum of"),
    "dtypes": ("dist.all_reduce(x if RANK == 0 else x.double())", "Double"),
    "order": ("dist.all_reduce(x) if RANK == 0 else dist.broadcast(x, 0)", "rank 1 of group 0 calls broadcast"),
    "messages": (
        "dist.send(x, 1) if RANK == 0 else dist.recv(x[1:].clone(), 0)\ndist.barrier() if RANK == 0 else None",
        "sends 40 bytes where 36 are expected",
    ),
    "gone": ("os._exit(0) if RANK == 1 else dist.all_reduce(x)", "rank 1 of group 0 did not"),
    "late": ("__import__('time').sleep(9) if RANK == 1 else dist.all_reduce(x)", "did not send.*imed out"),
    "no rank": ("dist.recv(x, 1) if RANK == 0 else __import__('time').sleep(9)", "rank 1 of group 0 did not send"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_end_in_errors(name: str, tmp_path: Path) -> None:
    """They name rank, operation and remedy; the device stays usable."""
    fault, expected = FAULTS[name]
    body = "".join(f"    {line}\n" for line in fault.splitlines())
    script = (
        "x = torch.ones(10, device=DEVICE)\n"
        f"try:\n{body}    torch.mtia_sim.synchronize()\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
        "print('usable', (torch.ones(3, device=DEVICE) * 2).sum().item())\nsys.stdout.flush()\nos._exit(0)\n"
    )
    printed = run(script, 2, tmp_path, LIMIT="4")
    assert any(re.search(f"CollectiveFailure.*{expected}.*; ", text) for text in printed), printed
    assert "usable 6.0" in printed[0]


def test_tensors_that_cannot_be_sent(tmp_path: Path) -> None:
    script = """
import re
x = torch.ones(4, 4, device=DEVICE)
turned = x.clone().t()
wide = torch.empty(4, 4 * SIZE, device=DEVICE)
half = torch.empty(4 // SIZE, 4, device=DEVICE)
def on_device(call, *arguments):
    call(*arguments)
    torch.mtia_sim.synchronize()
def message(sent, received):
    try:
        dist.send(sent, 1) if RANK == 0 else on_device(dist.recv, received, 0)
    finally:
        dist.barrier()
for call, what in (
    (lambda: dist.all_reduce(x[:, 1:3]), "contiguous"),
    (lambda: dist.all_reduce(torch.ones(4, dtype=torch.int64, device=DEVICE), op=dist.ReduceOp.AVG), None),
    (lambda: dist.all_reduce(x, op=dist.ReduceOp.BAND), "no such reduction"),
    (lambda: dist.all_gather_into_tensor(torch.empty(7, device=DEVICE), x), "world_size"),
    (lambda: dist.all_to_all_single(x, x, [1, 1], [1, 1]), "[Ss]plit"),
    (lambda: dist.all_to_all_single(x, x, [5, -1], [5, -1]), "-1 rows"),
    (lambda: dist.all_gather_into_tensor(torch.empty(8 * SIZE), x), "is on cpu .* on one device"),
    (lambda: dist.send(x, RANK), "rank"),
    (lambda: dist.all_gather_into_tensor(wide.t(), x), "not contiguous .*use contiguous"),
    (lambda: dist.all_gather_into_tensor(wide.view(-1, 4), turned), "not contiguous"),
    (lambda: dist.reduce_scatter_tensor(half, turned), "not contiguous"),
    (lambda: dist.all_to_all_single(x.clone(), turned), "not contiguous"),
    (lambda: dist.all_to_all([x] * SIZE, [turned] * SIZE), "other orders .*use contiguous"),
    (lambda: dist.all_gather([x.clone() for _ in range(SIZE)], turned), "other orders"),
    (lambda: dist.reduce_scatter(x.clone(), [turned] * SIZE), "other orders"),
    (lambda: on_device(dist.all_reduce, x if RANK == 0 else turned), "strides .1, 4.*same sizes, dtypes and strides"),
    (lambda: on_device(dist.broadcast, turned if RANK == 0 else x, 0), "strides .1, 4"),
    (lambda: message(turned, x), None if RANK == 0 else "strides .1, 4.*where one of contiguous"),
    (lambda: message(turned, x.clone().t()), None),
    (lambda: dist.reduce(torch.ones(3, dtype=torch.complex64, device=DEVICE), 0, op=dist.ReduceOp.MAX), "complex"),
):
    try:
        call()
    except (RuntimeError, ValueError, TypeError) as error:
        assert what is None or re.search(what, str(error)), error
    else:
        assert what is None, what
x.fill_(1)
dist.all_reduce(x)
assert x.sum().item() == 16 * SIZE
parts = torch.arange(2 * SIZE, device=DEVICE) + 1j * torch.ones(2 * SIZE, device=DEVICE)
part = torch.empty(2, dtype=parts.dtype, device=DEVICE)
dist.reduce_scatter_tensor(part, parts)
assert part.tolist() == [SIZE * (2 * RANK + i + 1j) for i in range(2)]
dist.reduce(parts, 0, op=dist.ReduceOp.AVG)
assert parts.tolist() == [i + 1j for i in range(2 * SIZE)]
uneven = [torch.empty(1 + 2 * rank, device=DEVICE) for rank in range(SIZE)]
dist.all_gather(uneven, torch.full((1 + 2 * RANK,), RANK + 1.0, device=DEVICE))
assert [part.tolist() for part in uneven] == [[rank + 1.0] * (1 + 2 * rank) for rank in range(SIZE)]
part = torch.empty(1 + 2 * RANK, device=DEVICE)
dist.reduce_scatter(part, uneven)
assert part.tolist() == [SIZE * (RANK + 1.0)] * (1 + 2 * RANK)
print("done")
os._exit(0)
"""
    assert all(text.endswith("done\n") for text in run(script, 2, tmp_path))


def test_checked_mode_knows_what_collectives_write(tmp_path: Path) -> None:
    script = """
x = torch.ones(100, device=DEVICE)
whole = torch.empty(SIZE * 100, device=DEVICE)
dist.all_gather_into_tensor(whole, x)
assert (whole * 2).sum().item() == 200 * SIZE
unwritten = torch.empty(100, device=DEVICE)
try:
    (unwritten * 2).sum().item()
except RuntimeError as error:
    assert "UninitialisedRead" in str(error)
    print("done")
dist.destroy_process_group()
"""
    assert all("done" in text for text in run(script, 2, tmp_path, MTIA_SIM_CHECK="1"))


def test_timing_mode_takes_the_same_time_and_sends_no_unknown_values(tmp_path: Path) -> None:
    script = """
x = torch.randn(1 << 20, device=DEVICE)
small = torch.arange(5, device=DEVICE)
dist.all_reduce(x)
dist.all_reduce(small)
parts = [torch.empty_like(x) for _ in range(SIZE)]
dist.all_gather(parts, x)
torch.mtia_sim.synchronize()
assert small.tolist() == [SIZE * i for i in range(5)]
counters = torch.mtia_sim.perf_counters()
print("took", counters["elapsed_seconds"].hex(), counters["collective_seconds"].hex())
dist.destroy_process_group()
"""
    printed = [
        text.splitlines()[-1]
        for mode in ("functional", "timing")
        for text in run(script, 2, tmp_path, MTIA_SIM_MODE=mode, MTIA_SIM_TIMING_KEPT_BYTES="65536")
    ]
    assert printed[0].startswith("took") and len(set(printed)) == 1, printed


def test_traces_and_profiles_show_collectives(tmp_path: Path) -> None:
    script = """
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
x = torch.ones(1000, device=DEVICE)
with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.PrivateUse1]) as profiled:
    dist.all_reduce(x)
    torch.mtia_sim.synchronize()
assert any("all_reduce" in event.name and event.device_type == DeviceType.PrivateUse1 for event in profiled.events())
print("done")  # and the process ends by itself, with its group
"""
    assert all("done" in text for text in run(script, 2, tmp_path))
