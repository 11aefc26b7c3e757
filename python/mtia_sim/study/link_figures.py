"""Published figures of collectives: HCCL's of MTIA 300, nccl-tests' of GPUs, and the network model's."""

from dataclasses import astuple
from typing import Literal

from mtia_core import chips
from mtia_core.chips import Chip
from mtia_sim import _C
from mtia_sim.study.figures import Figure
from mtia_sim.study.metrics import Measurements, Metric
from mtia_sim.study.parallel_measuring import BESIDE
from mtia_sim.study.plans import Plan
from mtia_sim.study.runs import Run
from mtia_sim.study.workloads import Options

_Role = Literal["calibrates", "checks"]

_HCCL = "HCCL, arXiv 2608.00358"
_HCCL_2ND = f"{_HCCL}, second-hand"
_TESTS = "nccl-tests"
_AZURE = "Azure AI benchmarking guide, 2024-09: nccl-tests, one process"
_AZURE_GB200 = "Azure AI benchmarking guide, 2025-04: nccl-tests by rings, one process"
_VOLTAGE = "Voltage Park, vpbenchmarking, 4 x 8 H100, 3.2 Tbit/s of InfiniBand a server"
_ONE_PROCESS = "One process launches on all GPUs, one after the other, which no chip account sees."
_SIZE = "The size is not stated; in one server they measure half of what NVIDIA's developers name."
_GIGABYTES_8 = 8 << 30


def _account(chip: Chip, collective: str, sent: int, ranks: int) -> float:
    seconds: float = _C.collective_account(
        chip.serialise(), chip.serialise_cluster(), collective, sent, list(range(ranks))
    )["seconds"]
    return seconds


def received(ranks: int, part: int = 1 << 30) -> Metric:
    """GB/s that a chip receives in an all_gather of parts of so many bytes."""

    def rate(chip: Chip, measurements: Measurements) -> float:
        return (ranks - 1) * part / _account(chip, "all_gather", ranks * part, ranks) / 1e9

    return rate


def bus(collective: str, ranks: int, sent: int = _GIGABYTES_8, by_rings: bool = False) -> Metric:
    """Bus bandwidth as nccl-tests count it, GB/s: bytes over seconds, times (n - 1) / n, of a sum twice that.

    by_rings: Switches are not to make sums.
    """

    def rate(chip: Chip, measurements: Measurements) -> float:
        chip = chips.varied(chip, {"switch_reduction_efficiency": 0}) if by_rings else chip
        factor = (2 if collective == "all_reduce" else 1) * (ranks - 1) / ranks
        return factor * sent / _account(chip, collective, sent, ranks) / 1e9

    return rate


def microseconds(collective: str, ranks: int, sent: int) -> Metric:
    """Of one collective, us."""
    return lambda chip, measurements: _account(chip, collective, sent, ranks) * 1e6


def slowed(chip: Chip, measurements: Measurements) -> float:
    """By how much longer a product takes beside a collective, per cent."""
    return 100 * (float(measurements[0]["seconds"]) / float(measurements[0]["alone_seconds"]) - 1)


def _figure(
    chip: str,
    what: str,
    published: float,
    source: str,
    role: _Role,
    metric: Metric,
    unit: str = "GB/s",
    cause: str = "",
) -> Figure:
    return Figure(chip, what, published, unit, source, role, (), metric, cause, group="links")


_SMALL = [
    Figure("mtia300", f"{name} of 64 KiB, 16 chips", 5, "us", f"{_HCCL_2ND}: 4 to 64 KiB", "checks", (),
           microseconds(name, 16, 65536), published_to=6, group="links")
    for name in ("all_gather", "reduce_scatter", "all_reduce")
]  # fmt: skip

# The first lies in SRAM. The second one's weights, 470 MB for 256 rows, share the DRAM with the collective.
_BESIDE = {
    name: (Run(BESIDE, "mtia300", Options(shape=shape, plan=astuple(Plan(fsdp=16)))),)
    for name, shape in (("4096^3", (4096, 4096, 4096)), ("256 x 28672 x 8192", (256, 28672, 8192)))
}

LINK_FIGURES: tuple[Figure, ...] = (
    *(Figure("mtia300", f"product of {name} beside an all_gather in a rack, slowed by", 0.5, "%", _HCCL, "checks",
             runs, slowed, sense="at most", group="links")
      for name, runs in _BESIDE.items()),
    _figure("mtia300", "all_gather in a rack of 16", 940, _HCCL, "calibrates", received(16)),
    _figure("mtia300", "all_gather of 128 ranks", 838, _HCCL_2ND, "checks", received(128)),
    _figure("mtia300", "all_gather of 4 KiB, 16 chips", 5, f"{_HCCL_2ND}: 4 to 64 KiB", "calibrates",
            microseconds("all_gather", 16, 4096), "us"),
    *_SMALL,
    _figure("h100", "all_gather in a server, bus bandwidth", 370, f"{_TESTS} issue 212, NVIDIA", "calibrates",
            bus("all_gather", 8)),
    _figure("h100", "all_reduce in a server, bus bandwidth", 480, f"{_TESTS} issue 212, NVIDIA", "calibrates",
            bus("all_reduce", 8)),
    _figure("h100", "all_gather of two servers, bus bandwidth", 376, f"{_TESTS} issue 290, NVIDIA: 46 to 48 a card",
            "calibrates", bus("all_gather", 16)),
    _figure("h100", "all_gather of four servers, bus bandwidth", 323.5, _VOLTAGE, "checks", bus("all_gather", 32),
            cause=_SIZE),
    _figure("h100", "all_reduce of four servers, bus bandwidth", 330.9, _VOLTAGE, "checks", bus("all_reduce", 32)),
    _figure("h100", "all_reduce of 134 MB in a server, bus bandwidth", 400.6, _AZURE, "checks",
            bus("all_reduce", 8, 1 << 27), cause=_ONE_PROCESS),
    _figure("h200", "all_reduce in a server, bus bandwidth", 475, f"{_TESTS} issue 272", "checks",
            bus("all_reduce", 8, 4 << 30)),
    _figure("h200", "all_reduce of 134 MB in a server, bus bandwidth", 412.5, _AZURE, "checks",
            bus("all_reduce", 8, 1 << 27), cause=_ONE_PROCESS),
    _figure("a100", "all_reduce in a server, bus bandwidth", 231.6, _AZURE, "calibrates", bus("all_reduce", 8)),
    _figure("a100", "all_reduce of 268 MB in a server, bus bandwidth", 213.9, _AZURE, "checks",
            bus("all_reduce", 8, 1 << 28), cause=_ONE_PROCESS),
    _figure("a100", "all_reduce of two servers, bus bandwidth", 192, "NCCL issue 1576, NVIDIA: DGX A100, 8 x 200 Gb/s",
            "calibrates", bus("all_reduce", 16)),  # it chose between formulas of trees
    _figure("b200", "all_reduce of four by rings, bus bandwidth", 679.6, _AZURE_GB200, "calibrates",
            bus("all_reduce", 4, by_rings=True)),
    _figure("b200", "all_reduce of 537 MB of four by rings, bus bandwidth", 618.7, _AZURE_GB200, "checks",
            bus("all_reduce", 4, 1 << 29, by_rings=True), cause=_ONE_PROCESS),
)  # fmt: skip
