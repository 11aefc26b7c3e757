"""Tensors between processes: workers of a DataLoader, queues, arguments of a process; each start method."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.device.subprocesses import run_successfully

PROGRAM = '''
import json, sys, torch
import torch.multiprocessing as multiprocessing
from torch.utils.data import DataLoader, Dataset

class Items(Dataset):
    """Device tensors: two views of one storage, an empty one, other dtypes; and one of the host."""

    def __len__(self):
        return 4

    def __getitem__(self, i):
        base = (torch.arange(6.0, device="mtia_sim:1") + i).view(2, 3)
        return {{
            "view": base.t(), "row": base[1], "empty": torch.empty(0, device="mtia_sim"),
            "flag": torch.tensor([i > 1], device="mtia_sim"), "host": torch.full((2,), float(i)),
            "half": torch.full((2,), float(i), dtype=torch.bfloat16, device="mtia_sim"),
        }}

def child(questions, answers, module):
    tensor, whole = questions.get()
    same = tensor.untyped_storage().data_ptr() == whole.untyped_storage().data_ptr()
    answers.put((tensor * 2, sum(each.sum().item() for each in module.parameters()), same))
    questions.get()

if __name__ == "__main__":
    method = sys.argv[1]
    {body}
'''

LOADER = """
    if len(sys.argv) > 2: torch.ones(1, device="mtia_sim")
    try:
        for batch in DataLoader(Items(), batch_size=2, num_workers=2, multiprocessing_context=method):
            told = {name: [str(each.device), str(each.dtype), each.tolist()] for name, each in batch.items()}
            print(json.dumps(told))
    except Exception as error:
        print("told", type(error).__name__, error)
"""

PROCESS = """
    context = multiprocessing.get_context(method)
    questions, answers = context.Queue(), context.Queue()
    module = torch.nn.Linear(2, 2).to("mtia_sim:1")
    module.share_memory()
    process = context.Process(target=child, args=(questions, answers, module))
    process.start()
    whole = torch.arange(8.0, device="mtia_sim:1")
    questions.put((whole[2:5], whole))
    tensor, total, same = answers.get(timeout=60)
    questions.put(None)
    process.join()
    here = sum(each.sum().item() for each in module.parameters())
    print(json.dumps([str(tensor.device), tensor.tolist(), total == here, same, process.exitcode]))
"""


@pytest.fixture
def program(tmp_path: Path, request: pytest.FixtureRequest) -> str:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM.format(body=request.param.strip()))
    return str(path)


def start(path: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, path, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("program", [LOADER], indirect=True)
@pytest.mark.parametrize("method", ["spawn", pytest.param("forkserver", marks=pytest.mark.slow), "fork"])
def test_workers_send_device_tensors(program: str, method: str) -> None:
    batches = [json.loads(line) for line in start(program, method).splitlines()]
    assert len(batches) == 2
    for index, batch in enumerate(batches):
        items = [[float(j + i) for j in range(6)] for i in (2 * index, 2 * index + 1)]
        assert batch["view"] == ["mtia_sim:1", "torch.float32", [[[x[j], x[j + 3]] for j in range(3)] for x in items]]
        assert batch["row"] == ["mtia_sim:1", "torch.float32", [x[3:] for x in items]]
        assert batch["empty"] == ["mtia_sim:0", "torch.float32", [[], []]]
        assert batch["flag"] == ["mtia_sim:0", "torch.bool", [[index == 1], [index == 1]]]
        assert batch["half"] == ["mtia_sim:0", "torch.bfloat16", [[x[0], x[0]] for x in items]]
        assert batch["host"] == ["cpu", "torch.float32", [[x[0], x[0]] for x in items]]


@pytest.mark.parametrize("program", [LOADER], indirect=True)
def test_forked_workers_of_a_process_that_uses_the_device_are_told_so(program: str) -> None:
    out = start(program, "fork", "used")
    assert out.startswith("told") and "forked" in out and "spawn" in out and "CPU tensors" in out


@pytest.mark.parametrize("program", [PROCESS], indirect=True)
@pytest.mark.parametrize("method", ["spawn", pytest.param("forkserver", marks=pytest.mark.slow)])
def test_arguments_and_queues(program: str, method: str) -> None:
    assert json.loads(start(program, method)) == ["mtia_sim:1", [4.0, 6.0, 8.0], True, True, 0]


def test_cpu_tensors_are_shared_as_ever() -> None:
    run_successfully(
        """
        import torch, torch.multiprocessing as multiprocessing
        shared = torch.zeros(3).share_memory_()
        child = multiprocessing.get_context("fork").Process(target=shared.add_, args=(1,))
        child.start(); child.join()
        assert shared.tolist() == [1.0, 1.0, 1.0]
        """
    )
