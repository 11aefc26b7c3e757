"""torch's DistributedTest, which its wheel has, with a process a rank, on the backend of the device.

torch's own tree has the same file a backend (test/distributed/test_distributed_spawn.py).
"""

import torch
from torch.testing._internal.distributed.distributed_test import DistributedTest, TestDistBackend


class TestManyRanks(TestDistBackend, DistributedTest._DistTestBase):  # type: ignore[misc]
    def setUp(self) -> None:
        super().setUp()
        self._spawn_processes()


torch.testing._internal.common_utils.instantiate_parametrized_tests(TestManyRanks)
