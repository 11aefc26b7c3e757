"""Runs a program in a fresh interpreter: for what happens at import, at exit, or after a fork."""

import os
import subprocess
import sys
import textwrap


def run(program: str, timeout: float = 120, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a program given as indented source; returns its exit status and what it printed."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | environment,
    )


def run_successfully(program: str, timeout: float = 120, **environment: str) -> str:
    """As run; fails the test unless the program ends with status 0. Returns its standard output."""
    done = run(program, timeout, **environment)
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
