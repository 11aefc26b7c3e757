"""Libraries that train on many devices, on the ranks of torchrun: their losses are those of one CPU process."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

COMMON = """
    import json, os, sys
    import torch
    RANK, SIZE = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    def tell(losses):
        if RANK == 0:
            print(json.dumps(losses), flush=True)
"""

TRAINER = """
    way = sys.argv[1]
    if SIZE > 1:
        import mtia_sim.accelerate
        mtia_sim.accelerate.join_ranks()
    from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                                         num_attention_heads=2, pad_token_id=0))
    tokens = torch.randint(1, 64, (64, 16), generator=torch.Generator().manual_seed(1))
    rows = [{"input_ids": row, "labels": row} for row in tokens]
    more = {"accelerator_config": {"use_configured_state": True}} if SIZE > 1 else {"use_cpu": True}
    if way == "fsdp":
        more |= {"fsdp": True, "fsdp_config": {"version": 2, "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
                                               "transformer_layer_cls_to_wrap": ["LlamaDecoderLayer"]}}
    arguments = TrainingArguments(sys.argv[2], max_steps=5, per_device_train_batch_size=8 // SIZE, report_to=[],
                                  save_strategy="no", disable_tqdm=True, logging_steps=1, learning_rate=0.01,
                                  lr_scheduler_type="constant", train_sampling_strategy="sequential", **more)
    trainer = Trainer(model, arguments, train_dataset=rows)
    trainer.train()
    assert arguments.world_size == SIZE and model.device.type == ("cpu" if SIZE == 1 else "mtia_sim")
    kinds = {"ddp": "DistributedDataParallel", "fsdp": "FSDPLlamaForCausalLM", "cpu": "LlamaForCausalLM"}
    assert type(trainer.model_wrapped).__name__ == kinds[way], type(trainer.model_wrapped)
    tell([float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry])
"""

LIGHTNING = """
    import lightning
    from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

    class Classifier(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.GELU(), torch.nn.Linear(16, 3))
            self.losses = []

        def training_step(self, batch, index):
            loss = torch.nn.functional.cross_entropy(self.layers(batch[0]), batch[1])
            assert loss.device.type == kind["accelerator"]
            self.losses.append(self.all_gather(loss.detach()).mean().item())
            return loss

        def configure_optimizers(self):
            return torch.optim.AdamW(self.parameters(), lr=0.01)

    torch.manual_seed(0)
    model = Classifier()
    generator = torch.Generator().manual_seed(1)
    data = TensorDataset(torch.randn(64, 8, generator=generator), torch.randint(3, (64,), generator=generator))
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    kind, sampler = {"accelerator": "cpu"}, None
    if SIZE > 1:
        import mtia_sim.lightning
        kind = {"accelerator": "mtia_sim", "strategy": "mtia_sim_ddp", "devices": SIZE}
        sampler = DistributedSampler(data, SIZE, RANK, shuffle=False)
    trainer = lightning.Trainer(max_epochs=2, use_distributed_sampler=False, **kind, **quiet)
    trainer.fit(model, DataLoader(data, batch_size=16 // SIZE, sampler=sampler))
    tell(model.losses)
"""

# FSDP2 and tensor parallel plans as torchtitan's parallelize_llama has them, for the names of transformers' modules.
LLAMA = """
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import Replicate, Shard
    from torch.distributed.tensor.parallel import (
        ColwiseParallel, PrepareModuleInput, RowwiseParallel, SequenceParallel, loss_parallel, parallelize_module,
    )
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                                         num_attention_heads=4, num_key_value_heads=2))
    device, replicas, replica = "cpu", 1, 0
    if SIZE > 1:
        device = "mtia_sim"
        dist.init_process_group()
        torch.accelerator.set_device_index(int(os.environ["LOCAL_RANK"]))
        mesh = init_device_mesh(device, (2, 2), mesh_dim_names=("dp", "tp"))
        replicas, replica = 2, mesh["dp"].get_local_rank()
        model.to(device)
        parallelize_module(model, mesh["tp"], {
            "model.embed_tokens": RowwiseParallel(input_layouts=Replicate(), output_layouts=Shard(1)),
            "model.norm": SequenceParallel(),
            "lm_head": ColwiseParallel(input_layouts=Shard(1), output_layouts=Shard(-1), use_local_output=False),
        })
        hidden = {"hidden_states": Shard(1)}, {"hidden_states": Replicate()}
        for layer in model.model.layers:
            parallelize_module(layer, mesh["tp"], {
                "input_layernorm": SequenceParallel(),
                "self_attn": PrepareModuleInput(input_kwarg_layouts=hidden[0], desired_input_kwarg_layouts=hidden[1]),
                "self_attn.q_proj": ColwiseParallel(),
                "self_attn.k_proj": ColwiseParallel(),
                "self_attn.v_proj": ColwiseParallel(),
                "self_attn.o_proj": RowwiseParallel(output_layouts=Shard(1)),
                "post_attention_layernorm": SequenceParallel(),
                "mlp": PrepareModuleInput(input_layouts=(Shard(1),), desired_input_layouts=(Replicate(),)),
                "mlp.gate_proj": ColwiseParallel(),
                "mlp.up_proj": ColwiseParallel(),
                "mlp.down_proj": RowwiseParallel(output_layouts=Shard(1)),
            })
            fully_shard(layer, mesh=mesh["dp"])
        fully_shard(model, mesh=mesh["dp"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    generator, losses = torch.Generator().manual_seed(1), []
    for step in range(5):
        tokens = torch.randint(0, 64, (4, 17), generator=generator).chunk(replicas)[replica].to(device)
        positions = torch.arange(16, device=device)[None]  # the sequence is cut where the model would count it
        def loss_of():
            logits = model(tokens[:, :-1], position_ids=positions, use_cache=False).logits
            return torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        if SIZE == 1:
            loss = loss_of()
            loss.backward()
        else:
            with loss_parallel():
                loss = loss_of()
                loss.backward()
            loss = loss.full_tensor().detach()
            dist.all_reduce(loss, op=dist.ReduceOp.AVG)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    tell(losses)
"""


def losses(folder: Path, text: str, ranks: int, *words: str) -> list[float]:
    script = folder / "script.py"
    script.write_text(textwrap.dedent(COMMON) + textwrap.dedent(text))
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)] if ranks > 1 else []
    command = [sys.executable, *torchrun, str(script), *words]
    done = subprocess.run(command, cwd=folder, env=os.environ.copy(), capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    found: list[float] = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("[")))
    return found


@pytest.mark.slow
def test_trainer_of_transformers_by_ddp_and_fsdp2(tmp_path: Path) -> None:
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    pytest.importorskip("transformers", reason="transformers is not installed")
    alone = losses(tmp_path, TRAINER, 1, "cpu", str(tmp_path))
    assert len(alone) == 5
    for way in ("ddp", "fsdp"):
        assert losses(tmp_path, TRAINER, 2, way, str(tmp_path)) == pytest.approx(alone, rel=1e-4), way


@pytest.mark.slow
def test_llama_of_transformers_by_plans_of_torchtitan(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    alone = losses(tmp_path, LLAMA, 1)
    assert len(alone) == 5 and losses(tmp_path, LLAMA, 4) == pytest.approx(alone, rel=1e-4)


@pytest.mark.slow
def test_lightning_by_ddp(tmp_path: Path) -> None:
    pytest.importorskip("lightning", reason="lightning is not installed")
    alone = losses(tmp_path, LIGHTNING, 1)
    assert len(alone) == 8 and losses(tmp_path, LIGHTNING, 2) == pytest.approx(alone, rel=1e-4)


def test_accelerate_is_told_of_ranks_before_it_is_configured() -> None:
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    code = """
        import os
        from accelerate import Accelerator
        import mtia_sim.accelerate
        from mtia_core.errors import InvalidArgument
        for variable, words in ({}, "LOCAL_RANK is not set"), ({"LOCAL_RANK": "0"}, "configured for one process"):
            Accelerator()
            os.environ |= variable
            try:
                mtia_sim.accelerate.join_ranks()
                raise SystemExit("not refused")
            except InvalidArgument as error:
                assert words in str(error), error
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
