"""Tests of the tools that look into running kernels: they get the device, and leave it, as those of tests/device do."""

from tests.device.conftest import device

__all__ = ["device"]
