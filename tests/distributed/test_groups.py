"""Groups that are split from others, and what torch asks of a group beside collectives."""

import pickle
from pathlib import Path

import pytest
from torch.distributed.flight_recorder import fr_trace

from tests.distributed.ranks import run

SPLITS = """
import torch.nn as nn
from torch.distributed.device_mesh import init_device_mesh

def total(group, device=DEVICE):
    value = torch.full((5,), float(RANK), device=device)
    dist.all_reduce(value, group=group)
    assert value.tolist() == [float(sum(dist.get_process_group_ranks(group)))] * 5, value

def refused(error, words, call, *arguments, **keywords):
    try:
        call(*arguments, **keywords)
    except error as found:
        assert words in str(found), found
    else:
        raise AssertionError(f"not refused: {words}")

half = dist.split_group(split_ranks=[[0, 1], [2, 3]])
assert dist.get_process_group_ranks(half) == [RANK // 2 * 2, RANK // 2 * 2 + 1] and half.rank() == RANK % 2
assert half.group_desc == "default_pg:split:0", half.group_desc
total(half), total(half, "cpu")
# Ranks are in different numbers of groups from here on, by which torch names those that come.
one = dist.split_group(half, [[1]])
assert (one is None) == (RANK % 2 == 0)
again = dist.split_group(half, [[0, 1]], group_desc="both")
assert again.group_desc == "both"
total(again)
ends = dist.new_group([0, 3])
if RANK in (0, 3):
    total(ends)
for wrong in ([[0, 0]], [[]], [[0, 7]]):
    refused((ValueError, RuntimeError), "", dist.split_group, half, wrong)

mesh = init_device_mesh("mtia_sim", (2, 2), mesh_dim_names=("row", "column"))
assert mesh["row"].get_group().group_desc == "mesh_row"
total(mesh.get_group("row")), total(mesh.get_group("column")), total(mesh._flatten("all").get_group())
single = torch.ones(4, device=DEVICE)
for group in (half, mesh.get_group("row")):  # of a rank that two groups share, at once
    dist.all_reduce(single, group=group, async_op=True).wait()
assert single.tolist() == [4.0] * 4

# An estimate is what the operations then take, and moves nothing.
operands = [torch.full((1 << 18,), float(RANK), device=DEVICE), torch.zeros(1 << 20, device=DEVICE)]
def operate():
    dist.all_reduce(operands[0])
    dist.all_gather_into_tensor(operands[1], operands[0])
    dist.barrier()
    torch.mtia_sim.synchronize()
    return torch.mtia_sim.perf_counters()["collective_seconds"]
before = operate()
values = [operand.clone() for operand in operands]
with dist.distributed_c10d._time_estimator() as estimate:
    operate()
assert all(torch.equal(value, operand) for value, operand in zip(values, operands))
assert torch.mtia_sim.perf_counters()["collective_seconds"] == before
taken = 1e6 * (operate() - before)
assert abs(estimate.estimated_time - taken) < 0.02 * taken, (estimate.estimated_time, taken)
if RANK < 2:  # which others need not know
    with dist.distributed_c10d._time_estimator() as estimate:
        dist.isend(operands[0], 1 - RANK).wait(), dist.irecv(operands[0], 1 - RANK).wait()
    assert estimate.estimated_time > 0
total(dist.group.WORLD)

# Sparse tensors, as Gloo sums them; their gradients in DistributedDataParallel.
gloo = dist.new_group(backend="cpu:gloo,mtia_sim:mccl")
for shape, indices, rows in (
    ((9, 2), [[0, 1 + RANK, 0]], [[1.0, 2], [3, 4], [5, 6]]),
    ((3, 4), [[RANK % 3], [1]], [2.5]),
    ((8,), [[]] if RANK == 1 else [[RANK]], [] if RANK == 1 else [1.0]),
):
    mine = torch.sparse_coo_tensor(indices, rows, shape)
    want, got = mine.clone(), mine.to(DEVICE)
    dist.all_reduce(want, group=gloo)
    work = dist.all_reduce(got, async_op=True)
    work.wait()
    assert got.is_sparse and got.is_coalesced() and torch.equal(got.cpu().to_dense(), want.to_dense())
    assert torch.equal(got.cpu().indices(), want.coalesce().indices())
empty = torch.sparse_coo_tensor(size=(4,), device=DEVICE)
dist.all_reduce(empty)
assert empty._nnz() == 0
unlike = torch.sparse_coo_tensor([[0]], [1.0], (4 + RANK,), device=DEVICE)
refused(ValueError, "sparse tensor of sizes", dist.all_reduce, unlike)
refused(ValueError, "ReduceOp.SUM", dist.all_reduce, got, dist.ReduceOp.MAX)

def trained(device, group):
    torch.manual_seed(3)
    table = nn.Embedding(12, 4, sparse=True).to(device)
    model = nn.parallel.DistributedDataParallel(table, process_group=group)
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    for step in range(3):
        model(torch.tensor([RANK, step, 5], device=device)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return table.weight.detach().cpu()
torch.testing.assert_close(trained(DEVICE, None), trained("cpu", gloo), rtol=1e-6, atol=1e-7)

# A message to oneself, as Gloo does.
refused(ValueError, "destination rank should not be the same", dist.send, single, RANK)
refused(ValueError, "is no other one of 4; what stays on a rank is copied", dist.isend, single, RANK)
refused(ValueError, "is no other one of 4", dist.irecv, single, RANK)

# Who does not come is named.
dist.monitored_barrier()
dist.monitored_barrier(half, datetime.timedelta(seconds=60), wait_all_ranks=True)
refused(TypeError, "timedelta", dist.monitored_barrier, None, 3)
if RANK == 0:
    refused(RuntimeError, "Ranks 2, 3 failed to pass monitoredBarrier", dist.monitored_barrier,
            timeout=datetime.timedelta(seconds=3), wait_all_ranks=True)
elif RANK == 1:
    refused(RuntimeError, "", dist.monitored_barrier, timeout=datetime.timedelta(seconds=3))
print("done", flush=True)
os._exit(0)
"""


def test_splits_estimates_sparse_sums_and_barriers(tmp_path: Path) -> None:
    assert all("done\n" in text for text in run(SPLITS, 4, tmp_path, BOUND="1"))


MISSING = """
import time
values = [torch.ones(8, device=DEVICE) for _ in range(3)]
dist.all_reduce(values[0])
dist.all_gather_into_tensor(torch.empty(24, device=DEVICE), values[1])
if RANK < 2:
    dist.send(values[1], 1) if RANK == 0 else dist.recv(values[1], 0)
torch.mtia_sim.synchronize()
dist.group.WORLD._get_backend(DEVICE).set_timeout(datetime.timedelta(seconds=3))
record = os.environ["TORCH_FR_DUMP_TEMP_FILE"]
if RANK == 2:
    while not all(os.path.exists(record + str(rank)) for rank in (0, 1)):
        time.sleep(0.1)
    torch.mtia_sim.distributed.write_flight_record()
else:
    dist.all_reduce(values[2])
    try:
        torch.mtia_sim.synchronize()
    except RuntimeError as error:
        assert "did not send" in str(error) or "given up" in str(error), error
    else:
        raise AssertionError("nobody missed rank 2")
    assert len(pickle.loads(torch.mtia_sim.distributed.flight_record(only_active=True))["entries"]) == 1
os._exit(0)
"""


def test_the_flight_record_names_who_is_missing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Torch's own analyser says it, from the records that a time-out and a request wrote."""
    folder = tmp_path / "records"
    folder.mkdir()
    script = tmp_path / "train.py"
    script.write_text(MISSING)
    start = f"import pickle\nexec(compile(open({str(script)!r}).read(), {str(script)!r}, 'exec'))"
    run(start, 3, tmp_path, TORCH_FR_DUMP_TEMP_FILE=str(folder / "rank_"), TORCH_FR_BUFFER_SIZE="100")
    records = [pickle.loads((folder / f"rank_{rank}").read_bytes()) for rank in range(3)]
    for rank, record in enumerate(records):
        states = [(entry["profiling_name"], entry["state"]) for entry in record["entries"]]
        message = [(f"mccl:{('send 0->1', 'recv 1<-0')[rank]}", "completed")] if rank < 2 else []
        missed = [("mccl:all_reduce", "started")] if rank < 2 else []
        assert states == [("mccl:all_reduce", "completed"), ("mccl:_all_gather_base", "completed"), *message, *missed]
        assert record["pg_config"]["0"] == {"name": "0", "desc": "default_pg", "ranks": "[0, 1, 2]"}
        assert record["pg_status"]["0"]["last_completed_collective"] == 2
    first, last = records[0]["entries"][0], records[0]["entries"][-1]
    assert (first["input_sizes"], first["output_dtypes"], first["collective_seq_id"]) == ([[8]], ["Float"], 1)
    assert last["frames"][0]["filename"] == str(script) and last["frames"][0]["line"] == 16

    fr_trace.main([str(folder), "--prefix", "rank_"])
    said = [record.getMessage().strip() for record in caplog.records]
    missed = said[said.index("Not all ranks joining collective, sequence number: 3") :]
    assert {"collective: mccl:all_reduce", "missing ranks: {2}", "collective state: started"} <= set(missed)
