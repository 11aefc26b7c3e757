"""The host that benchmarks run on: its make, and the vector instructions that CPU torch and the emulator may use."""

import os
import platform
from pathlib import Path

_NOTED = ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "avx512_vnni", "avx_vnni", "amx_bf16", "amx_int8")


def _processor() -> dict[str, str]:
    """The first processor of /proc/cpuinfo; empty where there is none."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    fields = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in fields}


def make() -> str:
    """ "GenuineIntel family 6 model 207, 2 cores: Intel(R) Xeon(R) Processor"."""
    found = _processor()
    if not found:
        return f"{platform.machine()}, {os.cpu_count()} cores"
    return (
        f"{found.get('vendor_id', platform.machine())} family {found.get('cpu family', '?')} model "
        f"{found.get('model', '?')}, {os.cpu_count()} cores: {found.get('model name', 'unnamed')}"
    )


def instructions() -> list[str]:
    """Which of the vector and matrix extensions that matter to the emulator this host has."""
    flags = set(_processor().get("flags", "").split())
    return [name for name in _NOTED if name in flags]


def environment() -> dict[str, str]:
    """The variables that choose how the emulator uses the host, where they are set."""
    return {name: os.environ[name] for name in ("MTIA_SIM_HOST_ISA", "MTIA_SIM_HOST_BITS") if name in os.environ}
