"""Random calls of every overload of the element-wise table, over all pairs of dtypes, in each of its forms."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from mtia_sim_kernels.triton.elementwise_table import elementwise_table

DTYPES = [
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
    torch.float16, torch.bfloat16, torch.float32, torch.float64,
]  # fmt: skip
UNSIGNED = [torch.uint16, torch.uint32, torch.uint64]

# Operators that take numbers of [0, 1] only, and those that divide.
UNIT_INTERVAL = {"logit", "binary_cross_entropy", "binary_cross_entropy_backward", "atanh", "erfinv", "asin", "acos"}
DIVIDING = ("div", "fmod", "remainder", "floor_divide", "addcdiv")


@dataclass
class Case:
    """One call: `function(*arguments, **keywords)`; `output` is the name of an out= argument."""

    name: str
    function: Callable[..., Any]
    arguments: list[Any]
    keywords: dict[str, Any]
    output: str | None

    def __str__(self) -> str:
        def told(value: Any) -> str:
            return f"{value.dtype}{list(value.shape)}" if isinstance(value, torch.Tensor) else repr(value)

        texts = [told(v) for v in self.arguments] + [f"{k}={told(v)}" for k, v in self.keywords.items()]
        return f"{self.name}({', '.join(texts)})"

    def moved(self, move: Callable[[torch.Tensor], torch.Tensor]) -> tuple[list[Any], dict[str, Any]]:
        def each(value: Any) -> Any:
            return move(value) if isinstance(value, torch.Tensor) else value

        return [each(v) for v in self.arguments], {k: each(v) for k, v in self.keywords.items()}

    def tensors(self) -> list[torch.Tensor]:
        values = [*self.arguments, *(v for k, v in self.keywords.items() if k != self.output)]
        return [v for v in values if isinstance(v, torch.Tensor)]


def overloads() -> dict[str, list[str]]:
    """Overload of the table in functional form -> values that its string arguments may have."""
    found: dict[str, list[str]] = {}
    for row in elementwise_table():
        for text in row.operators:
            name, _, conditions = text.partition("[")
            values = found.setdefault(name, [])
            for condition in conditions.rstrip("]").split(",") if conditions else ():
                value = condition.partition("=")[2]
                if value.isalpha() and value not in ("None", "True", "False"):
                    values.append(value)
    return found


def resolved(overload: str, suffix: str = "") -> Any:
    base, _, kind = overload.partition(".")
    packet = getattr(torch.ops.aten, base + suffix, None)
    return None if packet is None else getattr(packet, kind or "default", None)


def out_form(functional: Any) -> Any:
    """The overload with an out= argument and otherwise the same arguments, or None."""

    def inputs(schema: Any) -> list[tuple[str, str]]:
        return [(a.name, str(a.type)) for a in schema.arguments if not a.is_out]

    packet = functional.overloadpacket
    for name in packet.overloads():
        other = getattr(packet, name)
        outputs = [a for a in other._schema.arguments if a.is_out]
        if len(outputs) == 1 and inputs(other._schema) == inputs(functional._schema):
            return other
    return None


def number_for(base: str, argument: str, draw: random.Random) -> Any:
    if argument == "alpha" and draw.random() < 0.6:
        return draw.choice([1, 2])
    divides = any(word in base for word in DIVIDING)
    wide = [] if draw.random() < 0.8 else [300, -300, 70000, 1e39, float("inf")]
    return draw.choice(wide or ([2, 3, 1.5, True, -2] if divides else [2, 3, 1.5, 0.5, True, False, -1, -2, 1]))


def tensor_for(
    base: str, argument: str, dtype: torch.dtype, shape: tuple[int, ...], draw: random.Random
) -> torch.Tensor:
    count = 1 if shape == () else shape[0]
    numbers: list[float]
    if dtype == torch.bool:
        numbers = [draw.random() < 0.5 for _ in range(count)]
    elif dtype.is_floating_point:
        low, high = (0.0, 1.0) if base in UNIT_INTERVAL else (-3.0, 3.0)
        numbers = [draw.uniform(low, high) for _ in range(count)]
    else:
        unsigned = dtype == torch.uint8 or dtype in UNSIGNED
        low, high = (0, 1) if base in UNIT_INTERVAL else (0 if unsigned else -4, 5)
        numbers = [draw.randint(int(low), int(high)) for _ in range(count)]
    divides = any(word in base for word in DIVIDING) and (argument in ("other", "tensor2"))
    if divides:
        numbers = [number or 1 for number in numbers]
    if "shift" in base:
        numbers = [abs(number) for number in numbers]
    return torch.tensor(numbers, dtype=torch.float64 if dtype.is_floating_point else torch.int64).to(dtype).view(shape)


def argument_for(base: str, argument: Any, dtype: torch.dtype, words: list[str], draw: random.Random) -> Any:
    kind = str(argument.type)
    if kind == "Tensor" or (kind == "Optional[Tensor]" and draw.random() < 0.6):
        shape = () if draw.random() < 0.25 else (5,)
        return tensor_for(base, argument.name, dtype, shape, draw)
    if kind == "number" or (kind == "Optional[number]" and draw.random() < 0.7):
        return number_for(base, argument.name, draw)
    if kind.startswith("Optional") and kind != "Optional[str]":
        return draw.choice([None, 0.3]) if kind == "Optional[float]" else None
    if kind in ("str", "Optional[str]"):
        return draw.choice(words or [None])
    if kind == "float":
        return draw.choice([0.5, 1.0])
    if kind == "int":
        return draw.choice([0, 1, 2])
    return draw.random() < 0.5


def cases(draws: int, seed: int) -> Iterator[Case]:
    """`draws` calls of each overload, functional, in place and with out=."""
    draw = random.Random(seed)
    for overload, words in overloads().items():
        base = overload.partition(".")[0]
        functional = resolved(overload)
        forms = [functional, functional, resolved(overload, "_"), out_form(functional)]
        for _ in range(draws):
            form = draw.choice([f for f in forms if f is not None])
            pool = DTYPES + (UNSIGNED if draw.random() < 0.15 else [])
            one_dtype = draw.choice(pool) if draw.random() < 0.3 else None
            arguments: list[Any] = []
            keywords: dict[str, Any] = {}
            for argument in functional._schema.arguments:
                dtype = one_dtype or draw.choice(pool)
                if argument.name in ("mask", "condition") and draw.random() < 0.7:
                    dtype = torch.bool
                value = argument_for(base, argument, dtype, words, draw)
                if argument.kwarg_only:
                    keywords[argument.name] = value
                else:
                    arguments.append(value)
            output = next((a.name for a in form._schema.arguments if a.is_out), None)
            if output is not None:
                keywords[output] = torch.zeros(5, dtype=draw.choice(pool))
            yield Case(str(form), form, arguments, keywords, output)
