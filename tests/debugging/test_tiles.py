"""Bytes of local memory as numpy arrays: the dtypes that numpy lacks, by the values that their formats define."""

import numpy as np
import pytest

from mtia_sim.debugging import tiles

# Bits and values of "FP8 Formats for Deep Learning" (Micikevicius et al. 2022), table 1, and of bfloat16.
VALUES = {
    "f8e4m3": {0x00: 0.0, 0x01: 2.0**-9, 0x07: 0.875 * 2.0**-6, 0x08: 2.0**-6, 0x7E: 448.0, 0xFE: -448.0, 0x7F: np.nan},
    "f8e5m2": {0x01: 2.0**-16, 0x03: 0.75 * 2.0**-14, 0x04: 2.0**-14, 0x7B: 57344.0, 0x7C: np.inf, 0xFC: -np.inf},
    "bf16": {0x3F80: 1.0, 0xC049: -3.140625, 0x0001: 2.0**-133, 0x7F80: np.inf, 0x7FC0: np.nan},
}


@pytest.mark.parametrize("dtype", VALUES)
def test_narrow_floats_have_their_values_and_their_bits(dtype: str) -> None:
    bits = np.array(list(VALUES[dtype]), np.uint16 if dtype == "bf16" else np.uint8).reshape(1, -1)
    found = tiles.array(dtype, bits.shape, bits.tobytes())
    np.testing.assert_array_equal(found.astype(np.float32), [list(VALUES[dtype].values())])
    np.testing.assert_array_equal(tiles.bits_array(dtype, bits.shape, bits.tobytes()), bits)
    one = tiles.array(dtype, (), bits.tobytes()[: bits.itemsize])
    assert one.shape == () and float(one) == next(iter(VALUES[dtype].values()))
