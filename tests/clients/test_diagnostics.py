"""What a kernel says to its author: device_print's lines, assertions at the next synchronising call."""

import pytest
import torch
import triton
import triton.language as tl


@triton.jit
def speaking(x, N: tl.constexpr):
    value = tl.load(x + tl.arange(0, N))
    tl.device_print("value", value)
    tl.device_print("bits", value, hex=True)
    tl.device_print("byte", value.to(tl.uint8))
    tl.device_print("half", tl.load(x).to(tl.float16) / 4)
    print("two", tl.program_id(0), tl.num_programs(0))
    print("done")


def test_lines_are_those_of_triton_on_a_gpu(device: torch.device, capfd: pytest.CaptureFixture[str]) -> None:
    x = torch.arange(16, dtype=torch.int32, device=device) - 3
    speaking[(2,)](x, 16)
    torch.mtia_sim.synchronize()
    lines = capfd.readouterr().out.splitlines()
    for pid in range(2):
        own = [line for line in lines if line.startswith(f"pid ({pid}, 0, 0)")]
        where = f"pid ({pid}, 0, 0)"
        expected = [f"{where} idx ({index:2}) value: {index - 3}" for index in range(16)]
        expected += [f"{where} idx ({index:2}) bits: 0x{(index - 3) & 0xFFFFFFFF:08x}" for index in range(16)]
        expected += [f"{where} idx ({index:2}) byte: {(index - 3) & 0xFF}" for index in range(16)]
        expected += [f"{where} idx () half: -0.750000"]
        expected += [f"{where} idx () two: (operand 0) {pid}", f"{where} idx () two: (operand 1) 2", f"{where} done"]
        assert own == expected


@triton.jit
def checked(x, out, N: tl.constexpr):
    value = tl.load(x + tl.arange(0, N))
    tl.device_assert(value < 9, "value is too large")
    tl.store(out + tl.arange(0, N), value * 2)


def test_an_assertion_is_an_exception_of_the_next_synchronising_call(device: torch.device) -> None:
    x = torch.arange(8, dtype=torch.int32, device=device)
    out = torch.zeros_like(x)
    checked[(1,)](x, out, 8, debug=True)
    assert out.cpu().tolist() == [2 * value for value in range(8)]
    with pytest.raises(RuntimeError, match=r"device-side assertion failed: value is too large"):
        checked[(1,)](x + 4, out, 8, debug=True)
        torch.mtia_sim.synchronize()
    checked[(1,)](x + 4, out, 8)  # without debug nothing is asserted, and the device still works
    assert out.cpu().tolist() == [2 * (value + 4) for value in range(8)]
