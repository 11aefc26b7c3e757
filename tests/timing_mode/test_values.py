"""What a script in timing mode is given for values that nobody computed, and what it is refused."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
pytestmark = pytest.mark.unchecked(reason="checks look at values, which timing mode does not compute")
BIG = 2048  # 16 MiB of float32: not known


def run(script: str, fails: bool = False, **environment: str) -> str:
    """Runs a script in a process whose devices are in timing mode; what it printed, or its errors."""
    done = subprocess.run(
        [sys.executable, "-c", "import torch\n" + script],
        env={**os.environ, "MTIA_SIM_MODE": "timing", **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode != 0) == fails, done.stderr[-3000:]
    return done.stderr if fails else done.stdout + done.stderr


def test_few_values_from_the_host_stay_what_they_are():
    run(
        "x = torch.arange(1000).to('mtia_sim')\n"
        "assert (x * 2).sum().item() == 999000 and x[torch.tensor([3, 5]).to('mtia_sim')].tolist() == [3, 5]\n"
        "assert torch.randint(0, 10, (100,), device='mtia_sim').max().item() < 10\n"
        "assert torch.ones(8, device='mtia_sim').cpu().eq(1).all()\n"
        "assert torch.mtia_sim.timing_summary()['unknown_reads'] == 0\n"
    )


def test_clones_part_when_they_are_written():
    run(
        "x = torch.arange(8.0).to('mtia_sim')\n"
        "clone = torch._lazy_clone(x)\n"
        "clone.mul_(2)\n"
        "assert clone.tolist() == [2.0 * i for i in range(8)] and x.tolist() == list(range(8))\n"
        f"big = torch.randn({BIG}, {BIG}, device='mtia_sim')\n"
        "torch._lazy_clone(big)[0].zero_()\n"
        "assert torch.mtia_sim.memory_allocated() >= big.nbytes\n"
    )


def test_an_unknown_value_is_0_and_said_once_with_its_line():
    text = run(
        f"x = torch.randn({BIG}, {BIG}, device='mtia_sim')\n"
        "loss = (x @ x).mean()\n"
        "for step in range(3):\n"
        "    print('loss', loss.item(), bool(loss.isnan()))\n"
        "print(torch.mtia_sim.timing_summary()['unknown_reads'])\n"
    )
    assert text.count("loss 0.0 False") == 3 and text.count("does not know") == 1
    assert "item" in text and "\n6\n" in text


def test_what_is_asked_of_all_elements_is_so():
    run(
        "from torch.distributions import Gamma\n"
        f"x = torch.randn({BIG}, {BIG}, device='mtia_sim').exp()\n"
        "assert x.isfinite().all() and torch.allclose(x, x + 1) and not x.isnan().any()\n"
        "assert Gamma(x[0], x[1]).sample().shape == (2048,)  # checks its parameters\n"
        "assert not torch.ones(9, device='mtia_sim').lt(1).all()  # known\n"
        "assert not (x[0, :100].clone() * 0).isnan().any() and (x[0, :100] > 0).all()\n",
        MTIA_SIM_TIMING_KEPT_BYTES="4096",
    )


def test_strict_mode_names_operator_and_line(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(
        f"import torch\nx = torch.randn({BIG}, {BIG}, device='mtia_sim')\nloss = x.sum()\nprint(loss.item())\n"
    )
    error = run(
        f"exec(compile(open({str(script)!r}).read(), {str(script)!r}, 'exec'))", True, MTIA_SIM_TIMING_STRICT="1"
    )
    assert "Unsupported" in error and "item, called at" in error and "train.py:4" in error
    assert "functional mode" in error


def test_a_copy_to_pinned_memory_tells_too():
    script = (
        f"x = torch.randn({BIG}, {BIG}, device='mtia_sim').sum()\n"
        "host = torch.full((), 5.0).pin_memory('mtia_sim')\n"
        "host.copy_(x, non_blocking=True)\n"
        "torch.mtia_sim.synchronize()\n"
        "print('host', host.item())\n"
    )
    text = run(script)
    assert "host 0.0" in text and text.count("does not know") == 1
    assert "Unsupported" in run(script, True, MTIA_SIM_TIMING_STRICT="1")


def test_gradients_are_scaled_and_clipped_without_values():
    text = run(
        "model = torch.nn.Linear(2048, 2048, device='mtia_sim')\n"
        "optimizer = torch.optim.AdamW(model.parameters())\n"
        "scaler = torch.amp.GradScaler('mtia_sim')\n"
        "for step in range(2):\n"
        "    with torch.autocast('mtia_sim', torch.float16):\n"
        "        loss = model(torch.randn(512, 2048, device='mtia_sim')).square().mean()\n"
        "    scaler.scale(loss).backward()\n"
        "    scaler.unscale_(optimizer)\n"
        "    print('norm', torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item())\n"
        "    scaler.step(optimizer)\n"
        "    scaler.update()\n"
        "print(scaler.get_scale(), optimizer.state[model.weight]['step'].item())\n"
    )
    assert text.count("norm 0.0") == 2 and "65536.0 2.0" in text


def test_selection_by_an_unknown_mask_takes_the_probability():
    text = run(
        "torch.mtia_sim.timing_values(mask=0.25)\n"
        f"x = torch.randn({BIG}, {BIG}, device='mtia_sim')\n"
        "print(x[x > 0].shape, torch.nonzero(x > 0).shape)\n"
        "print(torch.mtia_sim.timing_summary()['stood_in'] > 0)\n"
    )
    quarter = BIG * BIG // 4
    assert f"torch.Size([{quarter}]) torch.Size([{quarter}, 2])" in text and "True" in text


def test_weights_need_no_host_memory():
    text = run(
        "import re\n"
        "with torch.device('mtia_sim'):\n"
        "    model = torch.nn.Sequential(*[torch.nn.Linear(16384, 16384, dtype=torch.bfloat16) for _ in range(40)])\n"
        "torch.mtia_sim.synchronize()\n"
        "print(sum(p.numel() for p in model.parameters()) // 10**9)\n"
        # Not getrusage's, which the process that starts this one hands down.
        "print(int(re.search(r'VmHWM:\\s*(\\d+) kB', open('/proc/self/status').read())[1]) < 2**21)\n"
    )
    assert "10\nTrue" in text


def test_what_does_not_fit_one_chip_says_what_is_held():
    error = run(
        "with torch.device('mtia_sim'):\n"
        "    layers = [torch.nn.Linear(28672, 8192, dtype=torch.bfloat16) for _ in range(3 * 80 * 3)]\n",
        fails=True,
    )
    assert "OutOfMemoryError" in error and "GiB" in error


def test_both_modes_live_in_one_process():
    text = run(
        "torch.mtia_sim.set_mode('functional', device=0)\n"
        "torch.mtia_sim.set_mode('timing', device=1)\n"
        f"x = torch.randn({BIG}, {BIG}, device='mtia_sim:0')\n"
        "y = x.to('mtia_sim:1')\n"
        "print(torch.mtia_sim.get_mode(0), torch.mtia_sim.get_mode(1), x.sum().item() != 0, (y @ y).sum().item())\n"
        "small = torch.arange(5, device='mtia_sim:0').to('mtia_sim:1')\n"
        "print(small.tolist(), small.to('mtia_sim:0').sum().item(), y.to('mtia_sim:0').shape)\n",
        MTIA_SIM_MODE="functional",
    )
    assert "functional timing True 0.0" in text and "[0, 1, 2, 3, 4] 10 torch.Size" in text


def test_a_device_in_functional_mode_is_not_given_unknown_values_unsaid():
    script = (
        "torch.mtia_sim.set_mode('timing', device=1)\n"
        f"x = torch.randn({BIG}, {BIG}, device='mtia_sim:1')\n"
        "y = x.to('mtia_sim:0')\n"
        "print(y.count_nonzero().item(), torch.mtia_sim.timing_summary(1)['unknown_reads'])\n"
    )
    text = run(script, MTIA_SIM_MODE="functional")
    assert "0 1" in text and "a copy to a device in functional mode" in text and text.count("does not know") == 1
    assert "Unsupported" in run(script, True, MTIA_SIM_MODE="functional", MTIA_SIM_TIMING_STRICT="1")


def of_kernels(script: str) -> str:
    return run(f"import sys\nsys.path.insert(0, {str(HERE)!r})\nfrom unknown_kernels import *\n" + script)


@pytest.mark.parametrize("kernel", ["every_second", "first_and_last", "former_sums"])
def test_what_a_launch_leaves_out_stays_unknown(kernel):
    text = of_kernels(
        f"for known, x in ((False, unknown()), (True, torch.zeros(LENGTH, dtype=torch.int32, device='mtia_sim'))):\n"
        "    y = torch.empty_like(x)\n"
        f"    {kernel}[(LENGTH // BLOCK,)](x, y, LENGTH, BLOCK)\n"
        f"    assert is_known(y if {kernel == 'former_sums'} else x) == known, known\n"
        "print('done')\n"
    )
    assert "done" in text


def test_a_remembered_launch_does_not_lose_what_is_known():
    text = of_kernels(
        "x = unknown()\n"
        "x[:100] = 3\n"
        "assert not is_known(x + 1)\n"
        "x = torch.arange(LENGTH, device='mtia_sim', dtype=torch.int32)\n"
        "assert is_known(x + 1) and (x + 1).cpu().equal(torch.arange(LENGTH, dtype=torch.int32) + 1)\n"
        "x = unknown()\n"
        "x[:100] = torch.arange(100, device='mtia_sim', dtype=torch.int32)\n"
        "print(is_known(x[:100] * 2), (x[:100] * 2)[99].item(), is_known(x * 2))\n"
    )
    assert "True 198 False" in text


def test_a_loop_as_long_as_the_longest_of_unknown_lengths_runs_once():
    text = of_kernels(
        "x = torch.zeros(BLOCK, device='mtia_sim')\n"
        "longest[(64,)](unknown(), x, torch.empty(64 * BLOCK, device='mtia_sim'), BLOCK)\n"
        "torch.mtia_sim.synchronize()\n"
        "print('stood in', torch.mtia_sim.timing_summary()['stood_in'])\n"
    )
    assert "stood in 1" in text


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("torch.mtia_sim.set_mode('fast')", "modes are 'functional' and 'timing'"),
        ("torch.empty(1, device='mtia_sim'); torch.mtia_sim.set_mode('functional')", "before its first tensor"),
        ("torch.mtia_sim.timing_values(indices='normal')", "there is no law 'normal'"),
        ("torch.mtia_sim.timing_values(indices=lambda p: 2 * p)", "leaves [0, 1]"),
        ("torch.mtia_sim.timing_values(mask=1.5)", "no probability"),
        ("torch.mtia_sim.check().__enter__()", "timing mode"),
        ("torch.mtia_sim.numerics().__enter__()", "timing mode does not compute"),
    ],
)
def test_what_cannot_be_is_refused(script, problem):
    error = run("torch.empty(1, device='mtia_sim')\n" * ("numerics" in script or "check" in script) + script, True)
    assert problem in error


def test_an_unknown_mode_in_the_environment_is_refused():
    assert "there is no mode 'quick'" in run("torch.empty(1, device='mtia_sim')", True, MTIA_SIM_MODE="quick")


def test_a_checkpoint_of_unknown_values_is_refused(tmp_path):
    path = str(tmp_path / "checkpoint.pt")
    error = run(
        f"model = torch.nn.Linear({BIG}, {BIG}, device='mtia_sim')\n"
        f"torch.save({{'few': torch.arange(9, device='mtia_sim')}}, {path!r})\n"
        f"assert torch.load({path!r})['few'].tolist() == list(range(9))\n"
        "print('kept what is known')\n"
        f"torch.save(model.state_dict(), {path!r})\n",
        fails=True,
    )
    assert "Unsupported" in error and "does not know" in error and "functional mode" in error


def test_remembered_launches_change_no_number():
    script = (
        "model = torch.nn.Sequential(*[torch.nn.Linear(1024, 1024) for _ in range(4)]).to('mtia_sim')\n"
        "optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)\n"
        "for step in range(3):\n"
        "    model(torch.randn(2048, 1024, device='mtia_sim')).square().mean().backward()\n"
        "    optimizer.step()\n"
        "print(torch.mtia_sim.perf_counters())\n"
        "print('remembered', torch.mtia_sim.timing_summary()['remembered'])\n"
    )
    walked, remembered = run(script, MTIA_SIM_TIMING_REMEMBER="0"), run(script)
    assert walked.splitlines()[0] == remembered.splitlines()[0]
    assert "remembered 0" in walked and "remembered 0" not in remembered


def test_functional_devices_have_nothing_to_tell():
    torch.empty(1, device="mtia_sim")
    assert torch.mtia_sim.get_mode() == "functional"
    assert set(torch.mtia_sim.timing_summary().values()) == {0}
