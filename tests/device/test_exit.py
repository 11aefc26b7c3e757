"""The end of a process: no hang, no crash, and a word about errors that nobody saw."""

import time

from tests.device.subprocesses import run, run_successfully


def test_work_in_flight_does_not_delay_the_exit() -> None:
    begin = time.monotonic()
    run_successfully(
        """
        import torch
        pinned = torch.empty(64 << 20, dtype=torch.uint8).pin_memory()
        x = torch.empty(64 << 20, dtype=torch.uint8, device="mtia_sim")
        for _ in range(400):
            pinned.copy_(x, non_blocking=True)
        """,
        timeout=60,
    )
    assert time.monotonic() - begin < 30


def test_tensors_of_global_lifetime_and_both_devices() -> None:
    run_successfully(
        """
        import atexit, torch
        x = [torch.ones(100, device="cpu").to(f"mtia_sim:{i}") for i in range(2)]
        torch.keep_this_tensor = x[0]
        atexit.register(lambda: x[1].cpu())
        """
    )


def test_an_exception_ends_the_process_with_its_traceback() -> None:
    done = run("import torch; x = torch.ones(3).to('mtia_sim'); raise KeyError('mine')")
    assert done.returncode == 1 and "KeyError: 'mine'" in done.stderr
