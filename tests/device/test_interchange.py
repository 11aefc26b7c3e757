"""DLPack in both directions, and what numpy may and may not have."""

import numpy
import pytest
import torch
from torch.utils import dlpack

DTYPES = [
    torch.bool, torch.uint8, torch.uint32, torch.int16, torch.int64, torch.float16, torch.bfloat16, torch.float32,
    torch.float64, torch.complex64, torch.float8_e4m3fn,
]  # fmt: skip


def test_memory_is_shared_both_ways() -> None:
    x = torch.ones(2, device="mtia_sim:1")
    y = torch.from_dlpack(x)
    assert y.device == x.device and y.data_ptr() == x.data_ptr()
    y.add_(1)
    x.mul_(3)
    assert x.tolist() == y.tolist() == [6.0, 6.0]


def test_the_device_is_told() -> None:
    x = torch.ones(2, device="mtia_sim:1")
    assert x.__dlpack_device__() == (dlpack.DLDeviceType.kDLExtDev, 1)
    assert torch.ones(2).__dlpack_device__() == (dlpack.DLDeviceType.kDLCPU, 0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(dtype: torch.dtype) -> None:
    x = torch.arange(6).to(dtype).to("mtia_sim")
    y = torch.from_dlpack(x)
    assert y.dtype == dtype and y.view(torch.uint8).tolist() == x.view(torch.uint8).tolist()


def test_layouts_and_empty_tensors() -> None:
    x = torch.arange(24.0, device="mtia_sim").view(4, 6)
    for view in (x.t(), x[1:, ::2], x[:, 3], x[2:2], x.expand(2, 4, 6)):
        other = torch.from_dlpack(view)
        assert other.shape == view.shape and torch.equal(other.cpu(), view.cpu())
    torch.from_dlpack(x[1:, ::2]).zero_()
    assert x.sum().item() == sum(range(24)) - sum(x for row in (6, 12, 18) for x in (row, row + 2, row + 4))


def test_capsules_and_lifetime() -> None:
    x = torch.full((1000,), 3.0, device="mtia_sim")
    y = dlpack.from_dlpack(dlpack.to_dlpack(x[500:]))
    del x
    other = torch.zeros(1000, device="mtia_sim")
    assert y.sum().item() == 1500 and other.sum().item() == 0
    with pytest.raises(RuntimeError, match="resized"):
        y.resize_(2000)


def test_copies_and_other_devices() -> None:
    x = torch.arange(6.0, device="mtia_sim:1").view(2, 3).t()
    assert torch.from_dlpack(x, copy=True).data_ptr() != x.data_ptr()
    for device in ("cpu", "mtia_sim:0"):
        moved = torch.from_dlpack(x, device=device)
        assert moved.device == torch.device(device) and torch.equal(moved.cpu(), x.cpu())
        with pytest.raises(ValueError, match="copy"):
            torch.from_dlpack(x, device=device, copy=False)
    assert torch.from_dlpack(numpy.arange(3.0), device="mtia_sim").tolist() == [0.0, 1.0, 2.0]


def test_a_tensor_in_the_graph_is_refused() -> None:
    with pytest.raises(BufferError, match="detach"):
        torch.from_dlpack(torch.ones(2, device="mtia_sim", requires_grad=True))


def test_numpy_reads_the_host_alone() -> None:
    x = torch.arange(3.0, device="mtia_sim")
    with pytest.raises(RuntimeError, match=r"[Uu]nsupported device"):
        numpy.from_dlpack(x)
    for read in (numpy.asarray, torch.Tensor.numpy, lambda y: numpy.add(y, 1)):
        with pytest.raises(TypeError, match=r"mtia_sim:0 device type tensor to numpy.*cpu\(\)"):
            read(x)
    assert numpy.from_dlpack(x, device="cpu").tolist() == x.cpu().numpy().tolist() == [0.0, 1.0, 2.0]
    assert torch.from_numpy(numpy.ones(2)).to("mtia_sim").sum().item() == 2


def test_a_subclass_decides_for_itself() -> None:
    class Told(torch.Tensor):
        @classmethod
        def __torch_function__(cls, function, types, arguments=(), keywords=None):  # type: ignore[no-untyped-def]
            if function is torch.Tensor.__dlpack_device__:
                return "asked"
            return super().__torch_function__(function, types, arguments, keywords or {})

    assert torch.ones(2, device="mtia_sim").as_subclass(Told).__dlpack_device__() == "asked"
