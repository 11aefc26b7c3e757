"""accelerate and the Trainer of transformers by accelerate's variable: the device, the dtypes, the losses."""

import json
from pathlib import Path

import pytest

from tests.device.subprocesses import run_successfully

pytest.importorskip("accelerate", reason="accelerate is not installed")

TRAINER = """
    import json, torch
    from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=1,
                                         num_attention_heads=2, num_key_value_heads=1, pad_token_id=0))
    seen = []
    model.lm_head.register_forward_hook(lambda module, inputs, output: seen.append(str(output.dtype)))
    rows = [{{"input_ids": row, "labels": row}} for row in torch.randint(1, 64, (8, 16))]
    arguments = TrainingArguments({folder!r}, max_steps=3, per_device_train_batch_size=4, report_to=[], seed=1,
                                  learning_rate=0.01, save_strategy="no", disable_tqdm=True, logging_steps=1, {more})
    trainer = Trainer(model, arguments, train_dataset=rows)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    print(json.dumps([model.device.type, sorted(set(seen)), [float(loss) for loss in losses]]))
"""


def train(folder: Path, more: str = "", **environment: str) -> tuple[str, list[str], list[float]]:
    out = run_successfully(TRAINER.format(folder=str(folder), more=more), **environment)
    return tuple(json.loads(out.splitlines()[-1]))


def test_trainer_follows_the_cpu(tmp_path: Path) -> None:
    reference = train(tmp_path, "use_cpu=True")
    device = train(tmp_path, ACCELERATE_TORCH_DEVICE="mtia_sim")
    assert (reference[0], device[0]) == ("cpu", "mtia_sim") and device[1] == ["torch.float32"]
    assert device[2] == pytest.approx(reference[2], rel=1e-3) and device[2][-1] < device[2][0]


@pytest.mark.slow
def test_trainer_computes_in_bfloat16(tmp_path: Path) -> None:
    device, dtypes, losses = train(tmp_path, ACCELERATE_TORCH_DEVICE="mtia_sim", ACCELERATE_MIXED_PRECISION="bf16")
    assert (device, dtypes) == ("mtia_sim", ["torch.bfloat16"]) and losses[-1] < losses[0]


def test_safetensors_and_device_map(tmp_path: Path) -> None:
    run_successfully(
        f"""
        import torch
        from safetensors.torch import load_file, save_file
        save_file({{"a": torch.arange(6.0)}}, {str(tmp_path / "a.safetensors")!r})
        loaded = load_file({str(tmp_path / "a.safetensors")!r}, device=0)["a"]
        assert loaded.device == torch.device("mtia_sim:0") and loaded.tolist() == list(range(6))
        save_file({{"b": loaded}}, {str(tmp_path / "b.safetensors")!r})
        assert load_file({str(tmp_path / "b.safetensors")!r})["b"].tolist() == list(range(6))
        """
    )
