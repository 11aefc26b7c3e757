"""Complex numbers by index: they move as two real ones, whatever the layout and the number of dimensions."""

from __future__ import annotations

import pytest
import torch

from tests.operators.comparison import DEVICE


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128], ids=str)
@pytest.mark.parametrize("shape", [(11,), (5, 7), (2, 3, 4, 5), (2, 3, 2, 3, 2, 2)], ids=str)
def test_reading_and_writing_by_index(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, dtype=dtype).transpose(0, -1)
    index = torch.randint(0, x.shape[-1], (6,))
    wide = torch.randint(0, x.shape[-1], (*x.shape[:-1], 9))
    source = torch.randn(*x.shape[:-1], 9, dtype=dtype)
    rows = torch.randn(*x.shape[:-1], 6, dtype=dtype)
    calls = (
        lambda x, index, wide, source, rows: x[..., index],
        lambda x, index, wide, source, rows: x.gather(-1, wide),
        lambda x, index, wide, source, rows: x.scatter_add(-1, wide, source),
        lambda x, index, wide, source, rows: x.index_add(-1, index, rows),
        lambda x, index, wide, source, rows: x.index_fill(-1, index, 2 - 3j),
        lambda x, index, wide, source, rows: x.index_select(-1, index.int()),
        lambda x, index, wide, source, rows: x.conj().flip(0),
        lambda x, index, wide, source, rows: x.index_put((index % x.shape[0],), rows.new_ones(()), accumulate=True),
    )
    operands = (x, index, wide, source, rows)
    there = [operand.to(DEVICE) for operand in operands]
    for call in calls:
        torch.testing.assert_close(call(*there).cpu(), call(*operands))


def test_rows_of_a_complex_table() -> None:
    table = torch.randn(9, 4, dtype=torch.complex64)
    index = torch.tensor([[8, 0, 3], [1, 1, 7]])
    assert torch.equal(torch.nn.functional.embedding(index.to(DEVICE), table.to(DEVICE)).cpu(), table[index])
    with pytest.raises(IndexError, match="index 9 is out of"):
        table.to(DEVICE)[torch.tensor([9], device=DEVICE)].cpu()
