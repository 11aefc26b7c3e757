"""Interpolation, and padding by reflection and replication, with their gradients, against float64 CPU torch."""

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.operators.comparison import compare, on_device, random_tensor

MODES = {1: ["nearest", "nearest-exact", "linear"], 2: ["nearest", "nearest-exact", "bilinear", "bicubic"]}
MODES[3] = ["nearest", "nearest-exact", "trilinear"]
FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


def interpolation(size: list[int], mode: str, **keywords: Any) -> Callable[[Tensor], Tensor]:
    return lambda x: F.interpolate(x, size=size, mode=mode, **keywords)


@pytest.mark.parametrize(("rank", "mode"), [(rank, mode) for rank in MODES for mode in MODES[rank]])
@pytest.mark.parametrize("aligned", [False, True])
def test_modes(rank: int, mode: str, aligned: bool) -> None:
    if aligned and "nearest" in mode:
        return
    keywords = {} if "nearest" in mode else {"align_corners": aligned}
    for channels in (3, 20):
        x = random_tensor(2, channels, *[7, 10, 5][:rank])
        for size in ([5, 7, 6], [13, 11, 17], [14, 20, 10], [1, 1, 1], [7, 10, 5]):
            compare(interpolation(size[:rank], mode, **keywords), x, gradients=True)
            if rank > 1:
                given = x.contiguous(memory_format=FORMATS[rank + 2])
                got = compare(interpolation(size[:rank], mode, **keywords), given, gradients=True)
                assert got.is_contiguous(memory_format=FORMATS[rank + 2])


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("aligned", [False, True])
def test_antialiased(mode: str, aligned: bool) -> None:
    for size in ([5, 7], [3, 30], [2, 3], [24, 40]):
        resized = interpolation(size, mode, antialias=True, align_corners=aligned)
        compare(resized, random_tensor(2, 3, 12, 17), gradients=True)
        compare(resized, random_tensor(2, 17, 12, 17).contiguous(memory_format=torch.channels_last), gradients=True)
    lanczos = torch.ops.aten._upsample_lanczos2d_aa
    compare(lambda x: lanczos(x, [5, 30], aligned), random_tensor(1, 2, 16, 9), gradients=True)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.uint8])
def test_dtypes(dtype: torch.dtype) -> None:
    x = random_tensor(2, 3, 9, 11, dtype=dtype, low=0 if dtype == torch.uint8 else -3, high=255)
    for mode in MODES[2]:
        for factor in (1.7, 0.6, 2):
            # Positions are computed in float32 but of float64 tensors.
            got = F.interpolate(on_device(x), scale_factor=factor, mode=mode).cpu()
            expected = F.interpolate(
                x if dtype in (torch.uint8, torch.float64) else x.float(), scale_factor=factor, mode=mode
            )
            torch.testing.assert_close(got, expected.to(dtype))


def test_values_that_are_not_finite_stay_where_they_are() -> None:
    x = random_tensor(1, 2, 6, 7)
    x[0, 0, 2, 3], x[0, 1, 0, 0] = float("nan"), float("inf")
    for mode in ("nearest", "bilinear"):
        compare(interpolation([9, 13], mode), x)


@pytest.mark.parametrize("mode", ["reflect", "replicate"])
def test_padding(mode: str) -> None:
    cases: list[tuple[list[int], list[int]]] = [
        *(([2, 3, 9], [2, 3]), ([3, 9], [2, -3]), ([2, 3, 9, 8], [2, 3, 1, 4]), ([2, 3, 9, 8], [-2, 3, 1, -4])),
        *(([2, 3, 9, 8, 7], [2, 3, 1, 4, 2, 2]), ([3, 9, 8, 7], [2, 3, 1, 4, -2, 2]), ([2, 20, 9, 8], [7, 7, 8, 8])),
        *(([0, 3, 9], [1, 1]), ([0, 3, 9, 4], [1, 1, 1, 1]), ([1, 1, 2, 3, 2], [0, 0, 1, 0, 0, 1])),
    ]
    for sizes, padding in cases:
        x = random_tensor(*sizes)
        compare(lambda t, p=padding: F.pad(t, p, mode=mode), x, gradients=True)
        compare(lambda t, p=padding: F.pad(t, p, mode=mode), x.to(torch.int16))
        if len(sizes) == 4 and 0 not in sizes:
            given = x.contiguous(memory_format=torch.channels_last)
            got = compare(lambda t, p=padding: F.pad(t, p, mode=mode), given, gradients=True)
            assert got.stride() == F.pad(given, padding, mode=mode).stride()
    x = torch.randn(2, 3, 9, 8, dtype=torch.complex64)
    torch.testing.assert_close(F.pad(on_device(x), (1, 2, 3, 4), mode=mode).cpu(), F.pad(x, (1, 2, 3, 4), mode=mode))


def drawn(seed: int) -> None:
    chance = random.Random(seed)
    torch.manual_seed(seed)
    rank = chance.choice([1, 2, 2, 2, 3])
    extents = [chance.choice([1, 2, 3, 8, 17, 33, 70]) for _ in range(rank)]
    x = random_tensor(chance.choice([1, 2, 3]), chance.choice([1, 3, 16, 33]), *extents)
    if rank > 1 and chance.random() < 0.4:
        x = x.contiguous(memory_format=FORMATS[rank + 2])
    elif chance.random() < 0.3:
        x = x.transpose(0, 1).contiguous().transpose(0, 1)
    if chance.random() < 0.6:
        mode = chance.choice(MODES[rank])
        keywords: dict[str, Any] = {} if "nearest" in mode else {"align_corners": chance.random() < 0.5}
        if mode in ("bilinear", "bicubic"):
            keywords["antialias"] = chance.random() < 0.5 and extents[-1] > 1  # CPU torch is wrong at width 1
        size = [chance.choice([extent, 2 * extent, 1 + extent // 2, chance.randint(1, 90)]) for extent in extents]
        # Positions are float32 on both sides.
        got, expected = on_device(x).requires_grad_(), x.clone().requires_grad_()
        results = [interpolation(size, mode, **keywords)(each) for each in (got, expected)]
        weight = random_tensor(*results[1].shape)
        results[0].backward(on_device(weight))
        results[1].backward(weight)
        torch.testing.assert_close(results[0].cpu(), results[1], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(got.grad.cpu(), expected.grad, rtol=1e-4, atol=1e-4)
        assert results[0].stride() == results[1].stride()
    else:
        mode = chance.choice(["reflect", "replicate"])
        most = [extent - 1 if mode == "reflect" else 9 for extent in reversed(extents)]
        padding = [
            chance.randint(-((extent - 1) // 2), limit)
            for extent, limit in zip(reversed(extents), most, strict=True)
            for _ in range(2)
        ]
        compare(lambda t: F.pad(t, padding, mode=mode), x, gradients=True)


@pytest.mark.parametrize("seed", range(30))
def test_drawn(seed: int) -> None:
    drawn(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30, 300))
def test_many_drawn(seed: int) -> None:
    drawn(seed)


def test_outputs() -> None:
    x = random_tensor(2, 3, 5, 6)
    for out in (torch.empty(0), torch.empty(9, 7, 3, 2).permute(3, 2, 0, 1)):
        results = []
        for device in ("mtia_sim", "cpu"):
            result = on_device(out) if device == "mtia_sim" else out.clone()
            torch.ops.aten.upsample_bilinear2d.out(x.to(device), [9, 7], False, None, None, out=result)
            results.append(result)
        torch.testing.assert_close(results[0].cpu(), results[1])
        assert results[0].stride() == results[1].stride()


def test_refused() -> None:
    x = torch.randn(2, 3, 4, 4, device="mtia_sim")
    with pytest.raises(RuntimeError, match="Padding size should be less"):
        F.pad(x, (4, 0, 0, 0), mode="reflect")
    with pytest.raises(RuntimeError, match="greater than 0"):
        torch.ops.aten.upsample_bilinear2d(x, [0, 3], False)
    with pytest.raises(NotImplementedError, match="not implemented for 'Int'"):
        F.interpolate(x.int(), size=(3, 3))
    with pytest.raises(NotImplementedError, match="not implemented for 'Bool'"):
        F.pad(x > 0, (1, 1, 1, 1), mode="replicate")
    with pytest.raises(RuntimeError, match="dtype"):
        torch.ops.aten.upsample_nearest2d.out(x, [3, 3], out=torch.empty(0, device="mtia_sim", dtype=torch.float64))
