"""Messages that are waited for in another order than they were sent in, while others wait, or not at all."""

from pathlib import Path

from tests.distributed.ranks import run

DROPPED = """
import time
given = torch.ones(3000, device=DEVICE)
dist.all_reduce(given, async_op=True)
place = given.data_ptr()
del given
others = [torch.zeros(3000, device=DEVICE) for _ in range(4)]
torch.mtia_sim.synchronize()
assert all(other.cpu().eq(0).all() for other in others)
del others
for _ in range(10):  # the dispatcher lets go of it a little behind its end
    time.sleep(0.05)
    dist.barrier()
assert torch.zeros(3000, device=DEVICE).data_ptr() == place  # it was given back
dist.destroy_process_group()
"""

OUT_OF_ORDER = """
count = 5
if RANK == 0:
    for i in range(count):
        dist.send(torch.full((300,), float(i), device=DEVICE), 1)
    dist.barrier()
else:
    received = [torch.zeros(300, device=DEVICE) for _ in range(count)]
    works = [dist.irecv(tensor, 0) for tensor in received]
    for i in (3, 0, 4, 2, 1):
        works[i].wait()
        assert received[i].cpu().tolist() == [float(i)] * 300, i
    dist.barrier()
dist.destroy_process_group()
"""

# Rank 1 takes what rank 0 sent to it only after what rank 2 sent, which sends after it got its own from rank 0.
AROUND = """
if RANK == 0:
    for rank in (1, 2):
        dist.isend(torch.full((300,), float(rank), device=DEVICE), rank)
elif RANK == 2:
    received = torch.zeros(300, device=DEVICE)
    dist.recv(received, 0)
    dist.send(received, 1)
else:
    second, first = torch.zeros(300, device=DEVICE), torch.zeros(300, device=DEVICE)
    dist.recv(second, 2)
    dist.recv(first, 0)
    assert second.cpu().eq(2).all() and first.cpu().eq(1).all()
dist.barrier()
dist.destroy_process_group()
"""


def test_receives_are_waited_for_in_any_order(tmp_path: Path) -> None:
    run(OUT_OF_ORDER, 2, tmp_path, LIMIT="20")


def test_a_message_that_nobody_takes_yet_holds_up_no_other(tmp_path: Path) -> None:
    run(AROUND, 3, tmp_path, LIMIT="20")


def test_what_nobody_waits_for_writes_into_its_own_memory(tmp_path: Path) -> None:
    run(DROPPED, 2, tmp_path, LIMIT="20")
