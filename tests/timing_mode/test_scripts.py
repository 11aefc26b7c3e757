"""Unmodified scripts run in timing mode to their end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.unchecked(reason="checks look at values, which timing mode does not compute")
ROOT = Path(__file__).parents[2]

TRAINER = """
import sys
import torch
from torch.utils.data import Dataset
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments


class Texts(Dataset):
    def __len__(self):
        return 16

    def __getitem__(self, index):
        text = torch.randint(0, 300, (64,), generator=torch.Generator().manual_seed(index))
        return {"input_ids": text, "labels": text}


config = GPT2Config(vocab_size=300, n_positions=64, n_embd=256, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0)
arguments = TrainingArguments(
    sys.argv[1], max_steps=4, per_device_train_batch_size=4, logging_steps=2, save_strategy="no", report_to=[],
    eval_strategy="steps", eval_steps=2, max_grad_norm=1.0,
)
trainer = Trainer(GPT2LMHeadModel(config), arguments, train_dataset=Texts(), eval_dataset=Texts())
result = trainer.train()
summary = torch.mtia_sim.timing_summary()
print(result.global_step, trainer.args.device, summary["launches"] > 500, torch.mtia_sim.perf_counters()["joules"] > 0)
"""


def test_a_trainer_of_transformers(tmp_path):
    environment = {
        "MTIA_SIM_MODE": "timing",
        "ACCELERATE_TORCH_DEVICE": "mtia_sim",
        "MTIA_SIM_TIMING_KEPT_BYTES": "4096",
    }
    done = subprocess.run(
        [sys.executable, "-c", TRAINER, tmp_path],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "4 mtia_sim True True"


def test_the_example_script(tmp_path):
    command = [
        sys.executable,
        ROOT / "examples" / "train_llama.py",
        "--model",
        "8b",
        "--layers",
        "1",
        "--mode",
        "timing",
    ]
    command += ["--dtype", "bfloat16", "--batch", "1", "--seq", "512", "--steps", "2", "--recompute", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["mode"] == "timing" and summary["stand_in_fraction"] == 0 and summary["losses"] == [None, None]
    assert summary["parameters"] == 1_268_789_248 and summary["peak_memory_bytes"] > 2 * 4 * summary["parameters"]
    assert 0.1 < summary["mfu"] < 1 and summary["tokens_per_joule"] > 0
    assert summary["by_kernel"]["gemm"]["seconds"] > 0 and summary["by_level"]["dram_read"] > 0


CAUSAL_LM = """
import re
import sys
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

def most_memory():  # of this process: getrusage's is handed down by the one that starts it
    return 1024 * int(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1])


config = LlamaConfig(num_key_value_heads=8, num_hidden_layers=8)  # a quarter of Llama 2's 7B, grouped heads
before = most_memory()
if sys.argv[1] == "from_config":
    with torch.device("mtia_sim"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
else:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model = model.to_empty(device="mtia_sim")
tokens = torch.randint(0, config.vocab_size, (1, 512), device="mtia_sim")
loss = model(input_ids=tokens, labels=tokens).loss
loss.backward()
torch.mtia_sim.synchronize()
bytes_of_model = sum(p.numel() * p.element_size() for p in model.parameters())
grown = most_memory() - before
print(bytes_of_model > 3 << 30, torch.mtia_sim.memory_allocated() > 2 * bytes_of_model, grown < bytes_of_model / 4)
"""


@pytest.mark.parametrize("way", [pytest.param("from_config", marks=pytest.mark.slow), "to_empty"])
def test_weights_of_transformers_take_no_host_memory(way):
    done = subprocess.run(
        [sys.executable, "-c", CAUSAL_LM, way],
        env={**os.environ, "MTIA_SIM_MODE": "timing"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "True True True"
