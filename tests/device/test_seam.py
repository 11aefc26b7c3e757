"""What generic code of torch asks of a device and no other file here tests: torch.accelerator, printing, filled memory,
attention's ways, default devices."""

import inspect
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

DEVICE = "mtia_sim"


def test_every_name_of_the_accelerator_answers() -> None:
    x = torch.ones(8, device=DEVICE)
    accelerator = torch.accelerator
    with accelerator.device_index(1):
        assert accelerator.current_device_index() == 1
    stream = torch.Stream(device=DEVICE)
    former = accelerator.current_stream()
    accelerator.set_stream(stream)
    assert accelerator.current_stream() == stream == torch.mtia_sim.current_stream()
    accelerator.set_stream(former)
    answered = {"device_index", "set_device_index", "set_device_idx", "set_stream"}
    for module in (accelerator, accelerator.memory):
        for name in set(module.__all__) - answered:
            with pytest.warns(FutureWarning) if name.endswith("_idx") else _nothing():
                getattr(module, name)()
    assert x.sum().item() == 8


class _nothing:
    def __enter__(self) -> None: ...
    def __exit__(self, *error: object) -> None: ...


def test_names_of_torch_mtia() -> None:
    public = {
        name for name in vars(torch.mtia) if not name.startswith("_") and inspect.getmodule(getattr(torch.mtia, name))
    }
    own = {name for name in public if inspect.getmodule(getattr(torch.mtia, name)).__name__.startswith("torch.mtia")}
    absent = {"DeferredMtiaCallError", "mtia_graph", "is_fbcode", "is_prod"}
    assert {name for name in own - absent if not hasattr(torch.mtia_sim, name)} == set()


FORMATS = [
    getattr(torch, name)
    for name in [
        "bool",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "int8",
        "int16",
        "int32",
        "int64",
        "float16",
        "bfloat16",
        "float32",
        "float64",
        "float8_e4m3fn",
        "float8_e5m2",
        "complex64",
        "complex128",
    ]
]


@pytest.mark.parametrize("dtype", FORMATS)
def test_tensors_are_printed_as_the_cpu_prints_them(dtype: torch.dtype) -> None:
    for shape in ((), (0,), (0, 3), (2, 3), (1001,), (40, 60)):
        x = (
            torch.arange(max(1, torch.Size(shape).numel()))[: torch.Size(shape).numel()]
            .remainder(7)
            .to(dtype)
            .view(shape)
        )
        printed = repr(x.to(DEVICE)).replace("device='mtia_sim:0'", "")
        assert "".join(printed.split()).replace(",,", ",").replace(",)", ")") == "".join(repr(x).split())


def test_printing_of_what_autograd_adds() -> None:
    x = torch.ones(2, device=DEVICE, requires_grad=True)
    assert "requires_grad=True" in repr(x) and "MulBackward0" in repr(x * 2) and "Parameter" in repr(nn.Parameter(x))
    assert f"{torch.tensor(1.5, device=DEVICE):.3f}" == "1.500"
    assert torch.tensor([1.0, float("nan"), float("inf")], device=DEVICE).__repr__().count("nan") == 1


@pytest.fixture
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float8_e4m3fn, torch.complex64])
def test_new_memory_is_filled_with_nan(dtype: torch.dtype) -> None:
    for x in (
        torch.empty(5, device=DEVICE, dtype=dtype),
        torch.empty_strided((2, 3), (1, 2), device=DEVICE, dtype=dtype),
        torch.empty(0, device=DEVICE, dtype=dtype).resize_(4),
    ):
        assert x.cpu().to(torch.complex64).real.isnan().all()


@pytest.mark.usefixtures("deterministic")
def test_new_integers_are_filled_and_sums_by_index_allowed() -> None:
    assert (torch.empty(5, device=DEVICE, dtype=torch.int32).cpu() == torch.iinfo(torch.int32).max).all()
    assert torch.ones(2, device=DEVICE).resize_(3).cpu().isnan().tolist() == [False, False, True]
    index, ones = torch.tensor([1, 1], device=DEVICE), torch.ones(2, device=DEVICE)
    assert torch.zeros(3, device=DEVICE).index_add_(0, index, ones).tolist() == [0, 2, 0]
    assert torch.zeros(3, device=DEVICE).index_put_((index,), ones, accumulate=True).tolist() == [0, 2, 0]


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> tuple[Tensor, ...]:
    inputs = [each.clone().requires_grad_() for each in (query, key, value)]
    out = functional.scaled_dot_product_attention(*inputs, attn_mask=mask)
    out.square().sum().backward()
    return tuple(each.cpu() for each in (out.detach(), *[each.grad for each in inputs if each.grad is not None]))


@pytest.mark.parametrize("backend", list(SDPBackend.__members__.values())[1:])
def test_attention_obeys_whoever_chooses_its_kernel(backend: SDPBackend) -> None:
    heads = [torch.randn(2, 4, 8, 16) for _ in range(3)]
    expected = attention(*heads, None)
    with sdpa_kernel([backend, SDPBackend.MATH]):
        got = attention(*[each.to(DEVICE) for each in heads], None)
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)


def test_attention_of_unusual_operands() -> None:
    for shapes in (
        [(2, 8, 16)] * 3,
        [(1, 2, 8, 7)] * 3,
        [(1, 2, 8, 300)] * 3,
        [(2, 2, 8, 16), (2, 2, 5, 16), (2, 2, 5, 24)],
    ):
        heads = [torch.randn(shape) for shape in shapes]
        got = attention(*[each.to(DEVICE) for each in heads], None)
        torch.testing.assert_close(got, attention(*heads, None), atol=1e-4, rtol=1e-4)
    bias = torch.randn(8, 8, device=DEVICE, requires_grad=True)
    query = torch.randn(1, 2, 8, 16, device=DEVICE)
    functional.scaled_dot_product_attention(query, query, query, attn_mask=bias).sum().backward()
    with pytest.raises(RuntimeError, match="Explicit attn_mask should not be set when is_causal=True"):
        functional.scaled_dot_product_attention(query, query, query, attn_mask=bias.detach(), is_causal=True)
    assert bias.grad is not None and bias.grad.shape == bias.shape


def test_default_device() -> None:
    torch.set_default_device(DEVICE)
    try:
        assert torch.zeros(2).device == nn.Linear(2, 2).weight.device == torch.device(DEVICE, 0)
        assert torch.get_default_device() == torch.device(DEVICE, 0)
    finally:
        torch.set_default_device(None)


def test_conversions_by_name() -> None:
    assert torch.ones(2).mtia_sim(1).device == torch.device(DEVICE, 1)
    assert nn.Linear(2, 2).mtia_sim().weight.is_mtia_sim
    packed = nn.utils.rnn.pack_sequence([torch.ones(3, 2), torch.ones(1, 2)]).to(DEVICE)
    assert packed.data.is_mtia_sim and nn.utils.rnn.pad_packed_sequence(packed)[0].shape == (3, 2, 2)
    assert torch.ones(2).type("torch.mtia_sim.FloatTensor").is_mtia_sim
