"""Cycles of factorisations of random matrices in functional mode, and in timing mode that does not know them.

`python factor_accounts.py` prints a JSON object: cycles in both modes by factorisation, dtype and size. A process of
its own, since modes are chosen before the first use.
"""

import json
from collections.abc import Callable
from typing import Any

import torch
from both_modes import recorded
from torch import Tensor, linalg

MATRICES = 12  # of each size: how often a method iterates varies; together more than what the host sends is known of


def random(n: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(n, n, dtype=dtype)


def symmetric(n: int, dtype: torch.dtype) -> Tensor:
    a = random(n, dtype)
    return a + a.mT


def positive(n: int, dtype: torch.dtype) -> Tensor:
    a = random(n, dtype)
    return a @ a.mT + torch.eye(n, dtype=dtype)


def unpacked(a: Tensor) -> Any:
    return torch.lu_unpack(*linalg.lu_factor_ex(a)[:2])


def solved(a: Tensor) -> Any:
    return linalg.ldl_solve(*linalg.ldl_factor_ex(a)[:2], a)


FACTORISATIONS: dict[str, tuple[Callable[[Tensor], Any], Callable[[int, torch.dtype], Tensor]]] = {
    "cholesky": (linalg.cholesky_ex, positive),
    "lu": (linalg.lu_factor_ex, random),
    "lu_unpack": (unpacked, random),
    "ldl": (linalg.ldl_factor_ex, symmetric),
    "ldl_solve": (solved, symmetric),
    "qr": (linalg.qr, random),
    "eigh": (linalg.eigh, symmetric),
    "eigvalsh": (linalg.eigvalsh, symmetric),
    "svd": (linalg.svd, random),
    "svdvals": (linalg.svdvals, random),
    "eig": (linalg.eig, random),
    "eigvals": (linalg.eigvals, random),
}


def main() -> None:
    torch.mtia_sim.set_mode("timing", device=1)
    results = {}
    for name, (factored, given) in FACTORISATIONS.items():
        for dtype in (torch.float32, torch.float64):
            for n in (20, 50, 110):

                def workload(device: str) -> None:
                    matrices = torch.stack([given(n, dtype) for _ in range(MATRICES)])  # noqa: B023
                    for matrix in matrices.to(device):
                        factored(matrix.clone())  # noqa: B023

                commands = [recorded(workload, index) for index in (0, 1)]
                cycles = [sum(command["cycles"] for command in each) for each in commands]
                results[f"{name} {str(dtype).removeprefix('torch.')} {n}"] = cycles
    print(json.dumps(results))


if __name__ == "__main__":
    main()
