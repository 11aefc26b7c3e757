"""A debugger of one purpose: runs a Python script under ptrace(2) and prints, of each trap, the function, file and line
of every inlined frame as addr2line tells them: `python tracer.py script.py`. Linux on x86-64.

Exits as the script does, or with NOT_PERMITTED where the system forbids ptrace(2). Threads are traced from the start,
as by any debugger; other signals are passed on."""

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

NOT_PERMITTED = 77
TRACEME, CONTINUE, GETREGS, SETOPTIONS = 0, 7, 12, 0x4200
TRACE_CLONE = 1 << 3
WALL = 0x40000000  # threads too
RIP, REGISTERS = 16, 27  # of struct user_regs_struct

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
libc.ptrace.restype = ctypes.c_long


def ptrace(request: int, thread: int, data: object = None) -> None:
    if libc.ptrace(request, thread, None, data) == -1:
        raise OSError(ctypes.get_errno(), f"ptrace({request:#x}, {thread})")


def place_of(thread: int) -> str:
    """Where a thread that ran into a trap stands."""
    registers = (ctypes.c_ulong * REGISTERS)()
    ptrace(GETREGS, thread, registers)
    address = registers[RIP] - 1  # behind the trap's one byte
    starts: dict[str, int] = {}
    for line in Path(f"/proc/{thread}/maps").read_text().splitlines():
        bounds, *_, file = line.split(maxsplit=5)
        start, end = (int(bound, 16) for bound in bounds.split("-"))
        first = starts.setdefault(file, start)
        if start <= address < end:
            command = ["addr2line", "-e", file, "-f", "-C", "-i", "-p", hex(address - first)]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return f"{address:#x}, which no file is mapped at\n"


def main() -> int:
    script = os.fork()
    if script == 0:
        try:
            ptrace(TRACEME, 0)
        except PermissionError:
            os._exit(NOT_PERMITTED)
        os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
    _, status = os.waitpid(script, 0)  # it stops when execv has succeeded
    if os.WIFEXITED(status):
        return os.waitstatus_to_exitcode(status)
    ptrace(SETOPTIONS, script, TRACE_CLONE)
    ptrace(CONTINUE, script)
    met = {script}
    while True:
        thread, status = os.waitpid(-1, WALL)
        if not os.WIFSTOPPED(status):
            if thread == script:
                return os.waitstatus_to_exitcode(status)
            met.discard(thread)  # its number may come again
            continue
        passed_on = os.WSTOPSIG(status)
        if thread not in met:
            met.add(thread)
            passed_on = 0  # a new thread's first stop
        elif passed_on == signal.SIGTRAP:
            passed_on = 0
            if status >> 16 == 0:  # else the thread has made another one
                print(f"stopped in {place_of(thread)}", end="", flush=True)
        ptrace(CONTINUE, thread, passed_on)


if __name__ == "__main__":
    sys.exit(main())
