"""Chooses where the kernels' tests run before anything imports triton."""

from tests.kernels import harness  # noqa: F401
