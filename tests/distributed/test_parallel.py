"""Torch's own means of parallel training on 2 or 4 ranks: 20 steps of a small Llama give one CPU's losses."""

import pytest

from tests.distributed.parallel.harness import check

# By module of tests/distributed/parallel; those of a row share their processes.
QUICK = {
    "data": ("bucket_views", "no_sync", "unused_parameters", "uneven_inputs", "timers"),
    "pipeline": ("one_forward_one_backward", "interleaved_zero_bubble", "zero_bubble_v"),
    "tensor": ("sequence", "context_by_all_to_all"),
}
LONG = [
    (
        "others",
        2,
        (
            "experts",
            "functional_collectives",
            "synchronised_batch_norms",
            "saves_beside_training",
            "saves_in_another_process",
        ),
    ),
    ("compiled", 2, ("collectives", "data_parallel", "fully_sharded", "tensor_parallel")),
    ("data", 2, ("static_graph", "fp16_compress", "bf16_compress", "power_sgd", "zero_redundancy")),
    ("sharded", 4, ("reshards_to_parts_after_forward",)),
    ("pipeline", 2, ("gpipe", "interleaved_1f1b", "looped_breadth_first", "dual_pipe_v")),
    ("pipeline", 4, ("one_forward_one_backward", "gpipe")),
    (
        "tensor",
        2,
        (
            "tensor",
            "loss",
            "context_by_all_gather",
            "attention_of_distributed_tensors",
            "random_distributed_tensors",
        ),
    ),
    ("tensor", 4, ("fully_sharded_and_tensor", "hybrid_sharded")),  # the model has two heads of keys, for two ranks
    (
        "sharded",
        2,
        (
            "reshards_after_forward",
            "mixed_precision",
            "keeps_after_forward",
            "activation_checkpointing",
            "cpu_offload",
            "clipped_gradients",
            "from_meta_device",
            "gradient_accumulation",
            "fsdp1_full_shard",
            "fsdp1_shard_grad_op",
            "fsdp1_clipped",
            "fsdp1_offload",
            "fsdp1_mixed_precision",
        ),
    ),
]


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in QUICK.items() for name in names])
def test_losses(module: str, name: str) -> None:
    check(module, 2, QUICK[module], name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "size", "names", "name"), [(*row, name) for row in LONG for name in row[2]], ids=lambda each: str(each)
)
def test_losses_of_more(module: str, size: int, names: tuple[str, ...], name: str) -> None:
    check(module, size, names, name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "name"), [("data", "no_sync"), ("pipeline", "zero_bubble_v"), ("tensor", "context_by_all_to_all")]
)
def test_the_same_bits_from_run_to_run(module: str, name: str) -> None:
    check(module, 2, QUICK[module], name, again=True)
