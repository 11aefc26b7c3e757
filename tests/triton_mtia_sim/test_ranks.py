"""Tiles of more dimensions than the chip knows, against numpy."""

import numpy as np
import triton
import triton.language as tl
from execution import build, run

RANDOM = np.random.default_rng(11)
CUBE = tl.constexpr((2, 2, 2, 2, 2, 2, 2, 2))


@triton.jit
def movement_kernel(x, out):
    offsets = tl.arange(0, 256)
    cube = tl.reshape(tl.load(x + offsets), CUBE)
    tl.store(out + offsets, tl.reshape(tl.permute(cube, (7, 6, 5, 4, 3, 2, 1, 0)), (256,)))
    tl.store(out + 256 + offsets, tl.reshape(tl.permute(cube, (2, 3, 4, 0, 1, 7, 5, 6)), (256,)))
    tl.store(out + 512 + offsets, tl.reshape(tl.flip(cube, 5), (256,)))
    tl.store(out + 768 + offsets, tl.reshape(tl.cumsum(cube, 3), (256,)))
    tl.store(out + 1024 + offsets, tl.reshape(tl.join(cube, -cube), (512,)).reshape(2, 256).sum(0))
    tl.store(out + 1280 + tl.arange(0, 128), tl.reshape(tl.max(cube, 4), (128,)))


def test_movement_and_reduction():
    x = RANDOM.standard_normal(256).astype(np.float32)
    result = run(movement_kernel, {"x": x, "out": np.full(1408, 7, np.float32)}, {})["out"]
    cube = x.reshape((2,) * 8)
    expected = [
        cube.transpose(7, 6, 5, 4, 3, 2, 1, 0).ravel(),
        cube.transpose(2, 3, 4, 0, 1, 7, 5, 6).ravel(),
        np.flip(cube, 5).ravel(),
        cube.cumsum(3).ravel(),
        np.stack([cube, -cube], -1).reshape(2, 256).sum(0),
        cube.max(4).ravel(),
    ]
    np.testing.assert_allclose(result, np.concatenate(expected), rtol=1e-6)
    program = build(movement_kernel, {"x": x, "out": x}, {})
    assert max(len(value.dims) for value in program.values) <= 6


@triton.jit
def broadcast_kernel(a, b, x, out):
    sixteen = tl.arange(0, 16)
    even = tl.reshape(tl.load(a + sixteen), (2, 1, 2, 1, 2, 1, 2, 1))
    odd = tl.reshape(tl.load(b + sixteen), (1, 2, 1, 2, 1, 2, 1, 2))
    places = tl.reshape(tl.arange(0, 256), CUBE)
    mask = (places % 3) != 0
    loaded = tl.load(x + places, mask=mask, other=-1.0)
    tl.store(out + places, tl.where(even > odd, even, odd * 2) + loaded, mask=places < 250)


def test_alternating_broadcast_and_pointers():
    a, b = (RANDOM.standard_normal(16).astype(np.float32) for _ in range(2))
    x = RANDOM.standard_normal(256).astype(np.float32)
    result = run(broadcast_kernel, {"a": a, "b": b, "x": x, "out": np.full(256, 7, np.float32)}, {})["out"]
    even, odd = a.reshape(2, 1, 2, 1, 2, 1, 2, 1), b.reshape(1, 2, 1, 2, 1, 2, 1, 2)
    loaded = np.where(np.arange(256) % 3 != 0, x, np.float32(-1))
    expected = np.where(even > odd, even, odd * 2).ravel() + loaded
    expected[250:] = 7
    np.testing.assert_array_equal(result, expected)


@triton.jit
def signed_descriptor_kernel(x, out):
    source = tl.make_tensor_descriptor(x, shape=[4, 8], strides=[8, 1], block_shape=[4, 8])
    target = tl.make_tensor_descriptor(out, shape=[32], strides=[1], block_shape=[32])
    target.store([0], source.load([0, 0]).trans().reshape(32))


def test_descriptor_of_signed_integers():
    x = RANDOM.integers(-9, 9, (4, 8)).astype(np.int32)
    result = run(signed_descriptor_kernel, {"x": x, "out": np.full(32, 7, np.int32)}, {})["out"]
    np.testing.assert_array_equal(result, x.T.ravel())
