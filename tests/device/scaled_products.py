"""One product in MX formats on the chip of MTIA_SIM_CHIP, in both modes: its error against float64 and its account."""

import json
import sys
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl

from triton_mtia_sim import libdevice

M = N = 256
K = 1024
BLOCK_K = 256
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])


@triton.jit
def product(
    a, a_scale, b, b_scale, out,
    FORMAT: tl.constexpr, GROUP: tl.constexpr, SCALES: tl.constexpr, PACKED: tl.constexpr,
    N: tl.constexpr, K: tl.constexpr, BLOCK: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    rows, columns = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    sums = tl.zeros((BLOCK, BLOCK), tl.float32)
    for k in range(0, K, BLOCK_K):
        depth = k // PACKED + tl.arange(0, BLOCK_K // PACKED)
        groups = k // GROUP + tl.arange(0, BLOCK_K // GROUP)
        x = tl.load(a + rows[:, None] * (K // PACKED) + depth[None, :])
        y = tl.load(b + depth[:, None] * N + columns[None, :])
        x_scale = tl.load(a_scale + rows[:, None] * (K // GROUP) + groups[None, :])
        y_scale = tl.load(b_scale + columns[:, None] * (K // GROUP) + groups[None, :])
        if SCALES == "numbers":
            x_scale, y_scale = x_scale.to(tl.float8e4nv, bitcast=True), y_scale.to(tl.float8e4nv, bitcast=True)
        elif GROUP == 16:
            x_scale, y_scale = libdevice.block_exponents(x_scale), libdevice.block_exponents(y_scale)
        sums = tl.dot_scaled(x, x_scale, FORMAT, y, y_scale, FORMAT, sums)
    tl.store(out + rows[:, None] * N + columns[None, :], sums)


def numbers(bits: np.ndarray, kind: str) -> np.ndarray:
    dtype = {"e4m3": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2}[kind]
    return torch.from_numpy(bits).view(dtype).double().numpy()


def measured(kind: str, group: int, scales: str) -> dict[str, Any]:
    random = np.random.default_rng(5)
    packed = 2 if kind == "e2m1" else 1
    if kind == "e2m1":
        a_codes, b_codes = random.integers(0, 16, (M, K), np.uint8), random.integers(0, 16, (K, N), np.uint8)
        a_bits, b_bits = a_codes[:, ::2] | a_codes[:, 1::2] << 4, b_codes[::2] | b_codes[1::2] << 4
        a, b = E2M1[a_codes], E2M1[b_codes]
    else:
        a_bits, b_bits = (  # of either sign
            random.integers(0, 0x58, shape, np.uint8) | random.integers(0, 2, shape, np.uint8) << 7
            for shape in ((M, K), (K, N))
        )
        a, b = numbers(a_bits, kind), numbers(b_bits, kind)
    if scales == "numbers":
        factors = [random.integers(0x28, 0x48, (rows, K // group), np.uint8) for rows in (M, N)]
        a_factor, b_factor = (numbers(factor, "e4m3") for factor in factors)
    else:
        factors = [random.integers(120, 134, (rows, K // group), np.uint8) for rows in (M, N)]
        a_factor, b_factor = (2.0 ** (factor.astype(np.float64) - 127) for factor in factors)
    expected = (a * a_factor.repeat(group, 1)) @ (b * b_factor.repeat(group, 1).T)
    inputs = [torch.from_numpy(np.ascontiguousarray(bits)) for bits in (a_bits, factors[0], b_bits, factors[1])]
    result: dict[str, Any] = {}
    for device, mode in enumerate(("functional", "timing")):
        with torch.mtia_sim.device(device):
            out = torch.zeros(M, N, device="mtia_sim")
            tensors = [tensor.to("mtia_sim") for tensor in inputs]
            torch.mtia_sim.reset_perf_counters()
            product[(2, 2)](*tensors, out, kind, group, scales, packed, N, K, 128, BLOCK_K)
            counters = torch.mtia_sim.perf_counters()
        account = {key: counters[key] for key in ("seconds", "joules", "dynamic_joules", "dot_flops")}
        account["engine_seconds"] = counters["busy"]["dot_product_engine"] * counters["seconds"]
        result[mode] = account
        if mode == "functional":
            result["error"] = float(np.abs(out.cpu().numpy() - expected).max() / np.abs(expected).max())
    return result


if __name__ == "__main__":
    torch.mtia_sim.set_mode("timing", 1)
    print(
        json.dumps(
            [measured(kind, int(group), scales) for kind, group, scales in (case.split(":") for case in sys.argv[1:])]
        )
    )
