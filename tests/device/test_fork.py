"""Fork: a child of a process that uses the device gets a clear error, a child of one that does not can use it."""

from tests.device.subprocesses import run_successfully

CHILD = """
    import os, sys, torch
    {before}
    child = os.fork()
    if child == 0:
        try:
            {in_child}
        except Exception as error:
            print(type(error).__name__, error, flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    {after}
"""


def program(before: str, in_child: str, after: str = "pass") -> str:
    return CHILD.format(before=before, in_child=in_child, after=after)


def test_a_child_of_a_process_that_uses_the_device_is_told_so() -> None:
    out = run_successfully(
        program(
            "x = torch.ones(3).to('mtia_sim')",
            "torch.empty(1, device='mtia_sim')",
            "assert x.cpu().sum() == 3",
        )
    )
    assert "forked" in out and "spawn" in out


def test_inherited_tensors_are_refused_but_can_be_dropped() -> None:
    out = run_successfully(
        program(
            "x = torch.ones(3).to('mtia_sim'); y = torch.ones(300000).to('mtia_sim')",
            "del y; x.cpu()",
            "assert y.cpu().sum() == 300000",
        )
    )
    assert "forked" in out


def test_a_launch_in_the_child_is_refused_as_everything_else() -> None:
    out = run_successfully(
        program(
            "x = torch.ones(3).to('mtia_sim'); x.add_(1)",  # compiled here: the child goes straight to the launch
            "x.add_(1)",
            "assert x.cpu().sum() == 6",
        )
    )
    assert out.startswith("InvalidArgument") and "forked" in out


def test_a_child_of_a_process_that_never_used_the_device_may() -> None:
    out = run_successfully(program("pass", "print(torch.ones(3).to('mtia_sim').cpu().sum().item())"))
    assert out.split() == ["3.0"]


def test_the_child_knows() -> None:
    out = run_successfully(
        program(
            "torch.ones(3).to('mtia_sim')", "print(torch.mtia_sim._is_in_bad_fork(), torch.mtia_sim.is_initialized())"
        )
    )
    assert out.split() == ["True", "False"]


def test_cpu_work_and_seeding_go_on_in_the_child() -> None:
    out = run_successfully(
        program("torch.ones(3).to('mtia_sim')", "torch.manual_seed(1); print(torch.rand(100).sum().item() > 0)")
    )
    assert out.split() == ["True"]


def test_a_spawned_child_uses_the_device() -> None:
    run_successfully(
        """
        import subprocess, sys, torch
        torch.ones(1).to("mtia_sim")
        program = "import torch; print(torch.arange(5).to('mtia_sim').cpu().sum().item())"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert done.stdout.strip() == "10", done.stderr
        """
    )
