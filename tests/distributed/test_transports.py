"""Shared memory, Gloo, and both in one group carry the same bits; what is not waited for keeps its memory."""

from pathlib import Path

from tests.distributed.ranks import run

BITS = """
import hashlib

def random(elements, dtype=torch.float32, rank=RANK):
    return torch.randn(elements, generator=torch.Generator().manual_seed(rank)).to(dtype)

def told(name, tensor):
    print(name, hashlib.sha256(tensor.cpu().contiguous().view(torch.uint8).numpy().tobytes()).hexdigest())

LONG = 900_001  # several pieces, and parts of unequal length
for dtype in (torch.float32, torch.bfloat16):
    values = random(LONG, dtype).to(DEVICE)
    dist.all_reduce(values, op=dist.ReduceOp.AVG)
    parts = [random(LONG, dtype, rank).float() for rank in range(SIZE)]
    assert torch.equal(values.cpu(), ((parts[0] + parts[1] + parts[2]) / SIZE).to(dtype))
    told("average", values)
values = random(LONG).to(DEVICE)
dist.reduce(values, 1)
told("reduced", values) if RANK == 1 else print("reduced", torch.equal(values.cpu(), random(LONG)))

# Results in the place of what is sent.
values = random(SIZE * 100_003).to(DEVICE)
dist.reduce_scatter_tensor(values[RANK * 100_003 : (RANK + 1) * 100_003], values)
told("scattered", values[RANK * 100_003 : (RANK + 1) * 100_003])
values = random(SIZE * 100_003).to(DEVICE)
dist.all_gather_into_tensor(values, values[RANK * 100_003 : (RANK + 1) * 100_003])
whole = torch.cat([random(SIZE * 100_003, rank=r)[r * 100_003 : (r + 1) * 100_003] for r in range(SIZE)])
assert torch.equal(values.cpu(), whole)
values = random(SIZE * 100_000).to(DEVICE)
dist.all_to_all_single(values, values)
assert torch.equal(values.cpu(), torch.cat([random(SIZE * 100_000, rank=r).chunk(SIZE)[RANK] for r in range(SIZE)]))
same = random(100_000).to(DEVICE)
dist.reduce_scatter(same, [same] * SIZE)
assert torch.equal(same.cpu(), sum(random(100_000, rank=r) for r in range(SIZE)))

# Parts that do not fit are refused on every rank, and the group goes on.
try:
    rows, more = (1, 2, 2)[RANK], RANK == 1
    dist.all_to_all_single(values[: rows * SIZE], values[: 5 + more].clone(), [rows] * SIZE, [1, 2, 2 + more])
    torch.mtia_sim.synchronize()
except RuntimeError as error:
    assert "CollectiveFailure" in str(error) and "rank 1 of group 0 sends 12 bytes to rank 2" in str(error), error
else:
    raise AssertionError("parts of other lengths")

# Works that nobody keeps hold their tensors until they are over.
for i in range(10):
    dist.all_reduce(torch.full((200_000,), float(i), device=DEVICE), async_op=True)
    others = torch.full((200_000,), -1.0, device=DEVICE)
torch.mtia_sim.synchronize()
assert torch.equal(others.cpu(), torch.full((200_000,), -1.0))
last = torch.ones(3, device=DEVICE)
dist.all_reduce(last)
assert last.tolist() == [SIZE] * 3

# A message of three pieces, received behind one that was sent later; and one to a rank that takes it last.
after, before = (RANK + 1) % SIZE, (RANK - 1) % SIZE
dist.isend(random(200_000).to(DEVICE), after, tag=1)
dist.isend(torch.full((2,), float(RANK), device=DEVICE), before, tag=2)
small, large = torch.empty(2, device=DEVICE), torch.empty(200_000, device=DEVICE)
dist.recv(small, after, tag=2)
dist.recv(large, before, tag=1)
assert small.tolist() == [after] * 2 and torch.equal(large.cpu(), random(200_000, rank=before))
print("done")
dist.destroy_process_group()
"""


def test_bits_do_not_depend_on_the_transport(tmp_path: Path) -> None:
    mixed = "os.environ['MTIA_SIM_TRANSPORT'] = 'gloo' if os.environ['RANK'] == '2' else 'shared'\n"
    printed = [
        run(BITS, 3, tmp_path, MTIA_SIM_TRANSPORT="shared"),
        run(BITS, 3, tmp_path, MTIA_SIM_TRANSPORT="gloo"),
        run(BITS, 3, tmp_path, before=mixed),
    ]
    assert printed[0] == printed[1] == printed[2] and printed[0][0].endswith("done\n")


def test_another_transport_is_refused(tmp_path: Path) -> None:
    printed = run("", 2, tmp_path, expected=1, MTIA_SIM_TRANSPORT="pigeons")
    assert all("MTIA_SIM_TRANSPORT=pigeons; it is gloo, shared" in text for text in printed), printed


AGAIN = """
store = dist.FileStore(os.environ["MEETING"].removeprefix("file://") + ".again", SIZE)
for _ in range(3):
    dist.destroy_process_group()
    dist.init_process_group(store=store, rank=RANK, world_size=SIZE, timeout=datetime.timedelta(seconds=60))
    x = torch.ones(3, device=DEVICE)
    dist.all_reduce(x)
    assert x.tolist() == [SIZE] * 3
dist.destroy_process_group()
"""


def test_a_process_begins_again_with_the_same_store(tmp_path: Path) -> None:
    """No rank reads where another one was before."""
    run(AGAIN, 2, tmp_path)
