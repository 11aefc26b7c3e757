#!/usr/bin/env python3
"""Host time of one call of each common operator on small tensors: the price of dispatch, without the device's work.

    python benchmarks/dispatch.py [--only NAME] [--over 6] [--calls 64] [--repeats 40] [--json FILE]

The operators are those that real clients were seen to dispatch. A call is timed from Python, as a program makes it, in
batches that the queue takes without waiting; the device is waited for between batches, outside of the measured time.
The median of the batches is shown, CPU torch's next to it.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

Call = Callable[[], object]
SIZE = 16


def tensors(device: torch.device) -> dict[str, Any]:
    """What the calls work on, by name."""
    generator = torch.Generator().manual_seed(0)

    def floats(*sizes: int) -> torch.Tensor:
        return torch.rand(*sizes, generator=generator).add(0.5).to(device)

    ranks = torch.arange(SIZE, device=device)
    return {
        "x": floats(SIZE, SIZE),
        "y": floats(SIZE, SIZE),
        "z": floats(SIZE, SIZE),
        "out": floats(SIZE, SIZE),
        "batch": floats(2, SIZE, SIZE),
        "heads": floats(1, 2, SIZE, SIZE),
        "image": floats(1, 4, 8, 8),
        "filter": floats(4, 4, 3, 3),
        "row": floats(SIZE),
        "scale": floats(SIZE),
        "one": floats(1).squeeze(0),
        "integers": ranks,
        "classes": ranks % 7,
        "square": torch.arange(SIZE * SIZE, device=device).view(SIZE, SIZE) % SIZE,
        "mask": (ranks[:, None] >= ranks),
        "bits": (torch.arange(SIZE * SIZE, device=device).view(SIZE, SIZE) % 3) == 0,
        "pairs": floats(SIZE, SIZE, 2),
        "state": torch.ones((), device=device),
        "bags": ranks[:4] * 4,
        "moments": [[floats(SIZE, SIZE)] for _ in range(4)],
    }


def calls(t: dict[str, Any]) -> dict[str, Call]:
    """A call of each operator, by the name of its ATen overload."""
    aten = torch.ops.aten
    x, y, z, row, scale, batch, integers, mask, bits = (
        t[name] for name in ("x", "y", "z", "row", "scale", "batch", "integers", "mask", "bits")
    )
    square, classes, out, one = t["square"], t["classes"], t["out"], t["one"]
    probabilities = torch.log_softmax(x, -1)
    chances, targets = probabilities.exp(), bits.float()
    weight = aten.nll_loss_forward(probabilities, classes, None, 1, -100)[1]
    complex_numbers = torch.view_as_complex(t["pairs"])
    parameters, first, second, gradients = t["moments"]
    adam = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.0, "eps": 1e-8, "amsgrad": False}
    steps = [t["state"]]
    return {
        "abs": lambda: torch.abs(x),
        "add": lambda: x + y,
        "add.Scalar": lambda: x + 1.5,
        "add_": lambda: out.add_(y),
        "addcdiv": lambda: torch.addcdiv(x, y, z),
        "addcmul": lambda: torch.addcmul(x, y, z),
        "addmm": lambda: torch.addmm(row, x, y),
        "all": lambda: torch.all(bits),
        "all.dim": lambda: torch.all(bits, 1),
        "amax": lambda: torch.amax(x, -1),
        "any": lambda: torch.any(bits),
        "arange": lambda: torch.arange(SIZE, device=x.device),
        "argmax": lambda: torch.argmax(x, -1),
        "as_strided": lambda: x.as_strided((4, 4), (4, 1)),
        "baddbmm": lambda: torch.baddbmm(x, batch, batch),
        "bernoulli_": lambda: out.bernoulli_(0.5),
        "binary_cross_entropy": lambda: torch.nn.functional.binary_cross_entropy(chances, targets),
        "bitwise_and": lambda: bits & mask,
        "bitwise_not": lambda: ~bits,
        "bitwise_or": lambda: bits | mask,
        "bmm": lambda: torch.bmm(batch, batch),
        "cat": lambda: torch.cat([x, y]),
        "ceil": lambda: torch.ceil(x),
        "clamp": lambda: torch.clamp(x, 0.6, 1.2),
        "clone": lambda: x.clone(),
        "convolution": lambda: torch.conv2d(t["image"], t["filter"]),
        "copy_": lambda: out.copy_(x),
        "cos": lambda: torch.cos(x),
        "cumsum": lambda: torch.cumsum(integers, 0),
        "div": lambda: x / y,
        "div.Scalar": lambda: x / 3.0,
        "embedding": lambda: torch.embedding(x, classes),
        "embedding_dense_backward": lambda: aten.embedding_dense_backward(x, classes, SIZE, -1, False),
        "_embedding_bag": lambda: aten._embedding_bag(x, integers, t["bags"]),
        "empty": lambda: torch.empty(SIZE, SIZE, device=x.device),
        "eq.Scalar": lambda: classes == 3,
        "eq.Tensor": lambda: x == y,
        "erf": lambda: torch.erf(x),
        "exp": lambda: torch.exp(x),
        "expand": lambda: row.expand(SIZE, SIZE),
        "fill_": lambda: out.fill_(1.0),
        "floor_divide": lambda: integers // 3,
        "_foreach_add_": lambda: torch._foreach_add_(first, gradients),
        "_foreach_norm": lambda: torch._foreach_norm(gradients),
        "_fused_adamw_": lambda: torch._fused_adamw_(
            parameters, gradients, first, second, [], steps, **adam, maximize=False
        ),
        "gather": lambda: torch.gather(x, 1, square),
        "ge.Scalar": lambda: x >= 1.0,
        "gelu": lambda: torch.nn.functional.gelu(x),
        "gelu_backward": lambda: aten.gelu_backward(y, x),
        "gt.Scalar": lambda: x > 1.0,
        "gt.Tensor": lambda: x > y,
        "index": lambda: x[classes],
        "index_add_": lambda: out.index_add_(0, classes, x),
        "index_copy": lambda: torch.index_copy(x, 0, integers, y),
        "index_put_": lambda: out.index_put_((classes,), row),
        "index_select": lambda: torch.index_select(x, 0, classes),
        "isin": lambda: torch.isin(classes, integers),
        "isnan": lambda: torch.isnan(x),
        "isneginf": lambda: torch.isneginf(x),
        "le.Scalar": lambda: integers <= 3,
        "le.Tensor": lambda: x <= y,
        "lerp": lambda: torch.lerp(x, y, 0.25),
        "linalg_vector_norm": lambda: torch.linalg.vector_norm(x),
        "linear": lambda: torch.nn.functional.linear(x, y, row),
        "log": lambda: torch.log(x),
        "log_sigmoid_forward": lambda: torch.nn.functional.logsigmoid(x),
        "_log_softmax": lambda: torch.log_softmax(x, -1),
        "_log_softmax_backward_data": lambda: aten._log_softmax_backward_data(x, probabilities, -1, torch.float32),
        "logical_not": lambda: torch.logical_not(bits),
        "lt.Scalar": lambda: integers < 3,
        "masked_fill": lambda: x.masked_fill(mask, 0.0),
        "masked_fill_": lambda: out.masked_fill_(mask, 0.0),
        "max": lambda: torch.max(x),
        "max.dim": lambda: torch.max(x, 1),
        "maximum": lambda: torch.maximum(x, y),
        "mean": lambda: torch.mean(x),
        "mean.dim": lambda: torch.mean(x, -1, keepdim=True),
        "min.dim": lambda: torch.min(x, 1),
        "mm": lambda: torch.mm(x, y),
        "mul": lambda: x * y,
        "mul.Scalar": lambda: x * 2.0,
        "mul_": lambda: out.mul_(one),
        "mul.complex": lambda: complex_numbers * complex_numbers,
        "native_dropout": lambda: torch.native_dropout(x, 0.1, True),
        "native_layer_norm": lambda: torch.native_layer_norm(x, (SIZE,), row, scale, 1e-5),
        "ne.Scalar": lambda: classes != 3,
        "neg": lambda: -x,
        "nll_loss_backward": lambda: aten.nll_loss_backward(one, probabilities, classes, None, 1, -100, weight),
        "nll_loss_forward": lambda: aten.nll_loss_forward(probabilities, classes, None, 1, -100),
        "normal_": lambda: out.normal_(),
        "polar": lambda: torch.polar(x, y),
        "pow": lambda: x**2,
        "pow.Scalar": lambda: 2.0**x,
        "reciprocal": lambda: torch.reciprocal(x),
        "relu": lambda: torch.relu(x),
        "remainder": lambda: integers % 3,
        "_fused_rms_norm": lambda: torch.rms_norm(x, (SIZE,), row),
        "rsqrt": lambda: torch.rsqrt(x),
        "scaled_dot_product_attention": lambda: torch.nn.functional.scaled_dot_product_attention(
            t["heads"], t["heads"], t["heads"], is_causal=True
        ),
        "scatter.src": lambda: torch.scatter(x, 1, square, y),
        "select": lambda: x[0],
        "sigmoid": lambda: torch.sigmoid(x),
        "sigmoid_backward": lambda: aten.sigmoid_backward(x, y),
        "silu": lambda: torch.nn.functional.silu(x),
        "silu_backward": lambda: aten.silu_backward(x, y),
        "sin": lambda: torch.sin(x),
        "slice": lambda: x[:, 2:],
        "_softmax": lambda: torch.softmax(x, -1),
        "_softmax_backward_data": lambda: aten._softmax_backward_data(x, y, -1, torch.float32),
        "sort": lambda: torch.sort(x, stable=True),
        "sqrt": lambda: torch.sqrt(x),
        "stack": lambda: torch.stack([x, y]),
        "sub": lambda: x - y,
        "sum": lambda: torch.sum(x),
        "sum.dim": lambda: torch.sum(x, 0),
        "tanh": lambda: torch.tanh(x),
        "threshold_backward": lambda: aten.threshold_backward(x, y, 0),
        "_to_copy": lambda: x.to(torch.bfloat16),
        "topk": lambda: torch.topk(x, 4),
        "transpose": lambda: x.t(),
        "tril": lambda: torch.tril(x),
        "triu": lambda: torch.triu(x),
        "uniform_": lambda: out.uniform_(),
        "view": lambda: x.view(-1),
        "where": lambda: torch.where(mask, x, y),
        "zero_": lambda: out.zero_(),
        "zeros": lambda: torch.zeros(SIZE, SIZE, device=x.device),
    }


def microseconds(call: Call, wait: Call, arguments: argparse.Namespace) -> float:
    """The median of batches, with nothing left to do for the device before each."""
    for _ in range(3):
        call()
    times = []
    for _ in range(arguments.repeats):
        wait()
        start = time.perf_counter()
        for _ in range(arguments.calls):
            call()
        times.append(time.perf_counter() - start)
    wait()
    return 1e6 * statistics.median(times) / arguments.calls


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--device", default="mtia_sim", help="torch device to measure")
    parser.add_argument("--only", default="", help="operators whose name contains this")
    parser.add_argument("--over", type=float, default=6.0, metavar="US", help="mark operators that cost more")
    parser.add_argument("--calls", type=int, default=64, help="calls of a batch")
    parser.add_argument("--repeats", type=int, default=40, help="batches")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to FILE")
    return parser.parse_args()


def main() -> None:
    """Prints the operators, the dearest first."""
    arguments = parse_arguments()
    device = torch.device(arguments.device)
    with torch.no_grad():
        here, there = calls(tensors(device)), calls(tensors(torch.device("cpu")))
        rows = []
        for name in (name for name in here if arguments.only in name):
            ours = microseconds(here[name], torch.get_device_module(device).synchronize, arguments)
            rows.append((name, ours, microseconds(there[name], lambda: None, arguments)))
    rows.sort(key=lambda row: -row[1])
    print("| operator | us | CPU torch, us |\n|---|---|---|")
    for name, ours, cpu in rows:
        print(f"| {name} | {ours:.2f}{' *' if ours > arguments.over else ''} | {cpu:.2f} |")
    costly = sum(ours > arguments.over for _, ours, _ in rows)
    median = statistics.median(ours for _, ours, _ in rows)
    print(f"\n{len(rows)} operators, median {median:.2f} us; {costly} cost more than {arguments.over:g} us")
    if arguments.json:
        arguments.json.write_text(json.dumps([dict(zip(("name", "us", "cpu_us"), row, strict=True)) for row in rows]))


if __name__ == "__main__":
    main()
