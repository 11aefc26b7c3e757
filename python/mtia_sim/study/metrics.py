"""What a published figure counts, made of measurements: rates, shares of the peak, energy an item, power."""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from mtia_core.chips import Chip
from mtia_sim.study.comparison import peak_flops
from mtia_sim.study.llama import SIZES

Measurements = Sequence[Mapping[str, Any]]
Metric = Callable[[Chip, Measurements], float]


def share_of(peak: float) -> Metric:
    """Mean of the runs' model FLOPs a second over a published peak, per cent. peak: 1e12 a second."""
    return lambda chip, measurements: 100 * teraflops(chip, measurements) / peak


def rate(chip: Chip, measurements: Measurements) -> float:
    """Items a second."""
    return float(measurements[0]["items"] / measurements[0]["seconds"])


def teraflops(chip: Chip, measurements: Measurements) -> float:
    """Model FLOPs a second, 1e12; the mean of several runs."""
    return fmean(each["model_flops"] / each["seconds"] / 1e12 for each in measurements)


def terabytes(chip: Chip, measurements: Measurements) -> float:
    """Bytes that the step asks for a second, 1e12: three tensors of an addition, two of a copy."""
    return float(measurements[0]["items"] / measurements[0]["seconds"] / 1e12)


def microseconds(chip: Chip, measurements: Measurements) -> float:
    """Chip time of one step, us."""
    return float(measurements[0]["seconds"] * 1e6)


def milliseconds(chip: Chip, measurements: Measurements) -> float:
    """Chip time of one step, ms."""
    return float(measurements[0]["seconds"] * 1e3)


def joules(chip: Chip, measurements: Measurements) -> float:
    """Joules an item."""
    return float(measurements[0]["joules"] / measurements[0]["items"])


def watts(chip: Chip, measurements: Measurements) -> float:
    """Mean power of a step, W."""
    return float(measurements[0]["joules"] / measurements[0]["seconds"])


def idle_watts(chip: Chip, measurements: Measurements) -> float:
    """What the chip draws while nothing runs, W."""
    return chip.idle_watts


def peak_teraflops(chip: Chip, measurements: Measurements) -> float:
    """Of products in half precision, 1e12 a second."""
    return peak_flops(chip, "bfloat16") / 1e12


def busy_watts(part: float) -> Metric:
    """Idle and clock power, and a part of what products, operands, SRAM, DRAM and network draw at the rates they reach.

    That is all of the engines' peak, but of the memories what `network_efficiency` and `dram_efficiency` leave. An
    engine moves 3/32 byte of local memory for each multiply-accumulate: tiles of 32 x 32 bytes, sums that stay.
    """

    def drawn(chip: Chip, measurements: Measurements) -> float:
        macs = chip.processing_elements * chip.clock_hz * chip.dot_f16_macs_per_cycle
        sram = chip.sram_bytes_per_second * chip.network_efficiency
        dram = chip.dram_bytes_per_second * chip.dram_efficiency
        picojoules = macs * (chip.dot_f16_picojoules_per_mac + 3 / 32 * chip.local_memory_picojoules_per_byte)
        picojoules += sram * chip.sram_picojoules_per_byte + dram * chip.dram_picojoules_per_byte
        picojoules += (sram + dram) * chip.network_picojoules_per_byte
        return float(chip.idle_watts + chip.clock_watts + part * picojoules * 1e-12)

    return drawn


def speedup(chip: Chip, measurements: Measurements) -> float:
    """Rate of the first run over that of the second, less one, per cent."""
    return float(100 * (measurements[1]["seconds"] / measurements[0]["seconds"] - 1))


def of_whole(model: str, metric: Metric) -> Metric:
    """A metric of a model with all its layers, of two runs with fewer: a layer takes what the runs differ by."""

    def of_all_layers(chip: Chip, measurements: Measurements) -> float:
        first, second = measurements
        share = (SIZES[model].layers - first["layers"]) / (second["layers"] - first["layers"])
        sums = {key: first[key] + share * (second[key] - first[key]) for key in ("seconds", "joules", "model_flops")}
        return metric(chip, [{**second, **sums}])

    return of_all_layers
