"""Ordinary scripts for both modes: each a function of the device's name."""

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, distributions, nn
from torch.nn import functional
from torch.nn.functional import cross_entropy

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "examples"))

VOCABULARY = 300


def tokens(batch: int, length: int, vocabulary: int = VOCABULARY) -> Tensor:
    return torch.randint(0, vocabulary, (batch, length), generator=torch.Generator().manual_seed(1))


def trained(model: nn.Module, logits_of: Callable[[Tensor], Tensor], device: str, amp: bool = False) -> None:
    """Three steps with what training loops have around them: clipping, the loss on the host, a look at it."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    text = tokens(2, 65).to(device)
    for _ in range(3):
        with torch.autocast("mtia_sim", dtype=torch.bfloat16, enabled=amp):
            logits = logits_of(text[:, :-1])
            loss = cross_entropy(logits.float().flatten(0, 1), text[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if loss.isnan():
            raise ValueError("the loss is not a number")
        print("loss", loss.item(), file=sys.stderr)


def llama(device: str, dtype: torch.dtype, amp: bool = False, compiled: bool = False) -> None:
    from llama.model import Llama
    from llama.sizes import Size

    size = Size(128, 2, 4, 2, 352, tied_head=False, learning_rate=1e-3)
    model = Llama(size, VOCABULARY, 64).to(device=device, dtype=dtype)
    trained(model, torch.compile(model) if compiled else model, device, amp)


def llama_float32(device: str) -> None:
    llama(device, torch.float32)


def llama_bfloat16(device: str) -> None:
    llama(device, torch.bfloat16)


def llama_amp(device: str) -> None:
    llama(device, torch.float32, amp=True)


def llama_compiled(device: str) -> None:
    llama(device, torch.float32, compiled=True)


def gpt2(device: str) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, n_positions=64, n_embd=64, n_layer=2, n_head=4))
    model.to(device)
    trained(model, lambda text: model(text).logits, device)


def mixtral(device: str) -> None:
    from transformers import MixtralConfig, MixtralForCausalLM

    model = MixtralForCausalLM(
        MixtralConfig(
            vocab_size=VOCABULARY,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            num_local_experts=4,
            experts_implementation="eager",
        )
    )
    model.to(device)
    trained(model, lambda text: model(text).logits, device)


def generation(device: str) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=64,
            intermediate_size=176,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
        )
    )
    model.to(device).eval()
    model.generate(tokens(1, 16).to(device), max_new_tokens=8, min_new_tokens=8, do_sample=False, pad_token_id=0)


def scaled_steps(device: str) -> None:
    """A scaler asks the fused optimizer whether a gradient is infinite."""
    model = nn.Linear(256, 256).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    scaler = torch.amp.GradScaler("mtia_sim")
    for _ in range(2):
        scaler.scale(model(torch.randn(64, 256, device=device)).square().mean()).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()


def kernels(device: str) -> None:
    """Each operator of the benchmark suite `kernels`, once."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from suites.kernels import cases

    for case in cases():
        case.build(torch.device(device))()


def ladders(device: str) -> None:
    """Each step of the Triton and C++ ladders, once."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from suites.ladders import TRITON_LADDERS, gemm_ladders, prepared

    for ladder in (*gemm_ladders(), *TRITON_LADDERS):
        inputs = [tensor.to(device) for tensor in ladder.make()]
        for step in ladder.steps:
            step(torch.empty_like(ladder.reference(*inputs)), *prepared(step, inputs))


def decisions(device: str) -> None:
    """Operators whose work depends on values: rows by index, sums by index, sorting, selection."""
    numbers = torch.randn(4096, 64, generator=torch.Generator().manual_seed(3)).to(device)
    rows = torch.randint(0, 4096, (1000,), generator=torch.Generator().manual_seed(4)).to(device)
    numbers[rows].sum()
    numbers.index_add(0, rows, numbers[:1000])
    numbers.gather(0, rows[:, None].expand(-1, 64))
    numbers.sort(dim=1)
    numbers.topk(5, dim=1)
    torch.searchsorted(numbers[:, 0].sort().values, numbers[0])
    numbers[numbers > 0]
    torch.where(numbers > 0)
    torch.multinomial(numbers.softmax(1), 1)
    numbers.flatten().cumsum(0)


def quantised(device: str) -> None:
    """Products of int8, of weights of 8 and 4 bits and of float8, at a layer's sizes and at a token's."""
    generator = torch.Generator().manual_seed(5)
    numbers = torch.randint(-128, 128, (512, 512), generator=generator).to(device)
    narrow, float8 = numbers.to(torch.int8), (numbers / 64).to(torch.float8_e4m3fn)
    packed = torch._convert_weight_to_int4pack(narrow.view(torch.uint8)[:, :256].contiguous(), 8)
    facts, scale = torch.ones(4, 512, 2, device=device, dtype=torch.bfloat16), torch.ones((), device=device)
    for rows in (1, 200):
        x = (numbers[:rows] / 64).bfloat16()
        torch._int_mm(narrow[:rows], narrow.t())
        torch._weight_int8pack_mm(x, narrow, facts[0, :, 0])
        torch._weight_int4pack_mm(x, packed, 128, facts)
        torch._scaled_mm(float8[:rows], float8.t(), scale_a=scale, scale_b=scale, out_dtype=torch.bfloat16)


def transforms(device: str) -> None:
    """Fourier transforms of rows, columns and planes, in one launch, by four steps and by chirps; frames."""
    generator = torch.Generator().manual_seed(6)
    for shape in ((64, 1024), (300, 60), (1009,), (65_536,)):
        numbers = torch.randn(shape, generator=generator, dtype=torch.complex64).to(device)
        for dim in range(len(shape)):
            torch.fft.fft(numbers, dim=dim)
            torch.fft.irfft(numbers, dim=dim)
    signal, window = torch.randn(2, 8000, generator=generator).to(device), torch.hann_window(400).to(device)
    torch.stft(signal, 400, 160, window=window, center=False, return_complex=True)


def long_products(device: str) -> None:
    """Products of few results, whose long k is cut in parts."""
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.randn(2_000_003, device=device, dtype=dtype)
        torch.dot(x, x)
        for m, n in ((2, 1), (4, 4), (64, 40)):
            k = x.numel() // 64
            x[: m * k].view(m, k) @ x[: k * n].view(k, n)


def long_rows(device: str) -> None:
    """Few rows, which the PEs share in parts."""
    for dtype in (torch.float32, torch.bfloat16):
        rows = torch.randn(2, 100_001, device=device, dtype=dtype).requires_grad_()
        (rows.softmax(-1) + rows.log_softmax(-1) + rows.cumsum(-1)).backward(rows.detach())
        functional.layer_norm(rows, (100_001,), *torch.ones(2, 100_001, device=device, dtype=dtype)).sum().backward()
        rows.detach().cumprod(-1), rows.detach().logcumsumexp(-1), rows.detach().cummax(-1)


def pooled(device: str) -> None:
    """Each kind of pooling of one to three dimensions, with its gradient, in both layouts of images."""
    generator = torch.Generator().manual_seed(9)
    images = torch.randn(4, 16, 33, 40, generator=generator).to(device)
    volumes, rows = torch.randn(2, 8, 10, 12, 14, generator=generator).to(device), images.flatten(2)
    calls: list[tuple[Callable[[Tensor], Tensor], Tensor]] = []
    for x in (images, images.contiguous(memory_format=torch.channels_last)):
        calls += [
            (lambda x: functional.max_pool2d(x, 3, 2, 1), x),
            (lambda x: functional.avg_pool2d(x, 3, 2, 1, count_include_pad=False), x),
            (lambda x: functional.adaptive_avg_pool2d(x, (7, 5)), x),
            (lambda x: functional.adaptive_max_pool2d(x, (7, 5)), x),
            (lambda x: functional.lp_pool2d(x, 2, 3), x),
        ]
    calls += [
        (lambda x: functional.max_pool3d(x, 2), volumes),
        (lambda x: functional.avg_pool3d(x, 3, 2), volumes),
        (lambda x: functional.max_pool1d(x, 4, 3), rows),
        (lambda x: functional.avg_pool1d(x, 4, 3), rows),
        (lambda x: functional.unfold(x, 3, stride=2), images),
        (lambda x: functional.max_unpool2d(*functional.max_pool2d(x, 2, return_indices=True), 2), images),
        (lambda x: functional.fractional_max_pool2d(x, 2, output_ratio=(0.6, 0.6)), images),
    ]
    for pool, x in calls:
        given = x.clone().requires_grad_()
        pool(given).sum().backward()


def draws(device: str) -> None:
    """Random numbers of every law that the device draws."""
    distributions.Distribution.set_default_validate_args(False)  # which looks at values
    rates = (torch.rand(20_000, generator=torch.Generator().manual_seed(10)) + 0.1).to(device)
    for law in (
        distributions.Gamma(rates, rates),
        distributions.Beta(rates, rates),
        distributions.Dirichlet(rates.view(-1, 5)),
        distributions.StudentT(rates + 2),
        distributions.LogNormal(rates, rates),
    ):
        law.sample()
    torch.poisson(rates * 20), torch.binomial((rates * 30).floor(), rates / 2)
    torch.multinomial(rates.view(20, 1000), 50, replacement=True), torch.bernoulli(rates.clamp(max=1))
    for fill in ("exponential_", "cauchy_", "log_normal_"):
        getattr(rates.clone(), fill)()
    rates.clone().geometric_(0.3)
