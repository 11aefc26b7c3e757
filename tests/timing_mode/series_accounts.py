"""Cycles of series that end by their values, in functional mode and in timing mode that does not know the values.

`python series_accounts.py` prints a JSON object: cycles in both modes by workload. A process of its own, since modes
are chosen before the first use.
"""

import json
from collections.abc import Callable

import torch
from both_modes import recorded
from torch import Tensor

COUNT = 20_000


def positive(low: float, high: float) -> Tensor:
    return torch.rand(COUNT) * (high - low) + low


def gamma_gradient(device: str) -> None:
    concentration = positive(0.5, 5).to(device)
    torch._standard_gamma_grad(concentration, torch._standard_gamma(concentration))


def dirichlet_gradient(device: str) -> None:
    concentration = positive(0.5, 5).view(-1, 4).to(device)
    total = concentration.sum(-1, keepdim=True).expand_as(concentration)
    torch._dirichlet_grad(torch._sample_dirichlet(concentration), concentration, total)


def incomplete_gamma(device: str) -> None:
    torch.special.gammainc(positive(0.1, 10).to(device), positive(0.1, 10).to(device))


def upper_incomplete_gamma(device: str) -> None:
    torch.special.gammaincc(positive(0.1, 10).to(device), positive(0.1, 10).to(device))


def beta_draws(device: str) -> None:
    both = [positive(0.5, 5).to(device).requires_grad_() for _ in range(2)]
    torch.distributions.Beta(*both, validate_args=False).rsample().sum().backward()


def angles(device: str) -> None:
    around = [positive(-3, 3).to(device), positive(0.5, 5).to(device)]
    assert torch.distributions.VonMises(*around, validate_args=False).sample().shape == (COUNT,)


SERIES: tuple[Callable[[str], None], ...] = (
    gamma_gradient,
    dirichlet_gradient,
    incomplete_gamma,
    upper_incomplete_gamma,
    beta_draws,
    angles,
)


def main() -> None:
    torch.mtia_sim.set_mode("timing", device=1)
    results = {}
    for workload in SERIES:
        commands = [recorded(workload, index) for index in (0, 1)]
        results[workload.__name__] = [sum(command["cycles"] for command in each) for each in commands]
    print(json.dumps(results))


if __name__ == "__main__":
    main()
