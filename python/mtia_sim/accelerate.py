"""accelerate, and transformers' Trainer, on the ranks of torchrun.

    import mtia_sim.accelerate
    mtia_sim.accelerate.join_ranks()  # before an Accelerator, or TrainingArguments
    trainer = Trainer(model, TrainingArguments(..., accelerator_config={"use_configured_state": True}))

accelerate chooses what is distributed from a list of makes of devices; without this each rank would train by itself,
without a word.
"""

import os

import torch
from accelerate import PartialState
from accelerate.utils import DistributedType

from mtia_core.errors import InvalidArgument
from mtia_sim import devices

_DEVICE = "ACCELERATE_TORCH_DEVICE"


def join_ranks() -> PartialState:
    """Makes this process one of torch.distributed's ranks for accelerate, on the device of its LOCAL_RANK.

    Begins torch.distributed where nobody has. DistributedDataParallel and FSDP follow as on a GPU.

    Raises:
        InvalidArgument: The process was not started by torchrun, or accelerate is already configured without ranks.
    """
    if "LOCAL_RANK" not in os.environ:
        raise InvalidArgument(
            "LOCAL_RANK is not set",
            "mtia_sim.accelerate",
            "start the script by torchrun, or by accelerate launch --multi_gpu or with its configuration of FSDP",
        )
    if PartialState._shared_state and PartialState().distributed_type is DistributedType.NO:
        raise InvalidArgument(
            "accelerate is already configured for one process",
            "mtia_sim.accelerate",
            "call join_ranks() before the first Accelerator or TrainingArguments",
        )
    local_rank = int(os.environ["LOCAL_RANK"])
    os.environ[_DEVICE] = f"mtia_sim:{local_rank}"
    devices.set_device(local_rank)
    state = PartialState()
    # Of its kinds of devices the one for which it does nothing that is CUDA's own.
    state.distributed_type = DistributedType.MULTI_GPU
    state.backend = torch.distributed.get_backend()
    state.num_processes = torch.distributed.get_world_size()
    state.process_index = torch.distributed.get_rank()
    state.local_process_index = local_rank
    return state
