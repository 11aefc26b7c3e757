"""Models that people train, small and random: a training step of each agrees with CPU torch, on kernels alone."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

transformers: Any = pytest.importorskip("transformers", reason="transformers is not installed")

TOKENS = torch.arange(1, 25).reshape(2, 12)
IMAGES = torch.linspace(-1, 1, 2 * 3 * 32 * 32).sin().reshape(2, 3, 32, 32)
SIZES = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2}
QUIET = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
TEXT = {"input_ids": TOKENS, "labels": TOKENS}
PICTURES = {"pixel_values": IMAGES, "labels": torch.tensor([0, 2])}

Made = tuple[nn.Module, dict[str, Tensor]]


def text(name: str, head: str = "ForCausalLM", **sizes: Any) -> Made:
    config = getattr(transformers, f"{name}Config")(**sizes)
    return getattr(transformers, name + head)(config), TEXT


def pictures(name: str, **sizes: Any) -> Made:
    config = getattr(transformers, f"{name}Config")(num_labels=3, **sizes)
    return getattr(transformers, f"{name}ForImageClassification")(config), PICTURES


def t5() -> Made:
    sizes = {"vocab_size": 64, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
    return text("T5", "ForConditionalGeneration", **sizes, dropout_rate=0.0, decoder_start_token_id=0)


def gpt2() -> Made:
    sizes = {"vocab_size": 64, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 32}
    return text("GPT2", "LMHeadModel", **sizes, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)


def whisper() -> Made:
    sizes = {f"{part}_{name}": size for part in ("encoder", "decoder") for name, size in SPEECH.items()}
    config = transformers.WhisperConfig(
        vocab_size=64, num_mel_bins=8, d_model=32, max_source_positions=16, max_target_positions=32, dropout=0.0,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1, **sizes,
    )  # fmt: skip
    model = transformers.WhisperForConditionalGeneration(config)
    return model, {"input_features": IMAGES.flatten()[: 2 * 8 * 32].view(2, 8, 32), "labels": TOKENS}


WINDOWS = {
    "image_size": 32,
    "embed_dim": 8,
    "depths": [1, 1],
    "num_heads": [2, 2],
    "window_size": 4,
    "drop_path_rate": 0.0,
}
RESIDUAL = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
SPEECH = {"layers": 1, "attention_heads": 4, "ffn_dim": 64}

MODELS: dict[str, Callable[[], Made]] = {
    "Llama": lambda: text("Llama", **SIZES, num_key_value_heads=2),
    "Qwen2": lambda: text("Qwen2", **SIZES, num_key_value_heads=2),
    "Qwen3": lambda: text("Qwen3", **SIZES, num_key_value_heads=2, head_dim=8),
    "Mistral": lambda: text("Mistral", **SIZES, num_key_value_heads=2, sliding_window=4),
    "Mixtral": lambda: text("Mixtral", **SIZES, num_key_value_heads=2, num_local_experts=4),
    "BERT": lambda: text("Bert", "ForMaskedLM", **SIZES, **QUIET),
    "GPT-2": gpt2,
    "T5": t5,
    "Mamba": lambda: text("Mamba", vocab_size=64, hidden_size=32, state_size=4, num_hidden_layers=2),
    "Whisper": whisper,
    "ViT": lambda: pictures("ViT", **SIZES, **QUIET, image_size=32, patch_size=8),
    "ConvNeXt": lambda: pictures("ConvNext", hidden_sizes=[8, 16], depths=[1, 1], num_stages=2, image_size=32),
    "Swin": lambda: pictures("Swin", **WINDOWS),
    "ResNet": lambda: pictures("ResNet", **RESIDUAL),
}


def move(given: Any, device: str) -> Any:
    return {name: value.to(device) for name, value in given.items()} if isinstance(given, dict) else given.to(device)


def check_step(model: nn.Module, loss: Callable[[nn.Module, Any], Tensor], given: Any, optimizer: Any = None) -> None:
    """Losses before and after a step, and its gradients, agree with CPU torch's."""
    before = sum(torch.mtia_sim.fallbacks().values())
    losses, gradients = [], []
    for device in ("cpu", "mtia_sim"):
        here, there = copy.deepcopy(model).to(device), move(given, device)
        steps = (optimizer or torch.optim.AdamW)(here.parameters(), 0.01)
        first = loss(here, there)
        first.backward()
        gradients.append([each.grad.cpu() for each in here.parameters() if each.grad is not None])
        steps.step()
        losses.append((first.item(), loss(here, there).item()))
    assert losses[1] == pytest.approx(losses[0], rel=1e-3, abs=1e-4) and losses[0][0] != losses[0][1]
    for got, expected in zip(gradients[1], gradients[0], strict=True):
        assert (got - expected).norm() <= 2e-3 * expected.norm() + 1e-5
    assert sum(torch.mtia_sim.fallbacks().values()) == before


@pytest.mark.parametrize("name", MODELS)
def test_transformers(name: str) -> None:
    torch.manual_seed(0)
    model, given = MODELS[name]()
    check_step(model.train(), lambda model, given: model(**given).loss, given)


def test_litgpt() -> None:
    litgpt: Any = pytest.importorskip("litgpt", reason="litgpt is not installed")
    torch.manual_seed(0)
    shape = {"block_size": 32, "vocab_size": 64, "padded_vocab_size": 64, "n_layer": 2, "n_head": 4, "n_embd": 32}
    family = {"rotary_percentage": 1.0, "norm_class_name": "RMSNorm", "mlp_class_name": "LLaMAMLP", "bias": False}
    config = litgpt.Config(**shape, **family, parallel_residual=False, n_query_groups=2, intermediate_size=64)
    check_step(
        litgpt.GPT(config),
        lambda model, tokens: functional.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten()),
        TOKENS,
    )


def test_lora() -> None:
    peft: Any = pytest.importorskip("peft", reason="peft is not installed")
    torch.manual_seed(0)
    model, given = MODELS["Llama"]()
    lora = peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
    adapted = peft.get_peft_model(model, lora)
    check_step(adapted, lambda model, given: model(**given).loss, given)
    assert sum(each.requires_grad for each in adapted.parameters()) == 8


class Tagger(nn.Module):
    """A recurrent tagger of tokens."""

    def __init__(self, cell: type[nn.RNNBase]) -> None:
        super().__init__()
        self.embedding = nn.Embedding(64, 16)
        self.recurrent = cell(16, 24, num_layers=2, batch_first=True, bidirectional=True)
        self.tags = nn.Linear(48, 64)

    def forward(self, tokens: Tensor) -> Tensor:
        return functional.cross_entropy(self.tags(self.recurrent(self.embedding(tokens))[0]).mT, tokens)


@pytest.mark.parametrize("cell", [nn.LSTM, nn.GRU])
def test_recurrent(cell: type[nn.RNNBase]) -> None:
    torch.manual_seed(0)
    check_step(Tagger(cell), lambda model, tokens: model(tokens), TOKENS)


class Recommender(nn.Module):
    """A DLRM: bags of sparse features, dense features, their pairwise products."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.EmbeddingBag(50, 8, mode="sum") for _ in range(3))
        self.bottom = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU())
        self.top = nn.Sequential(nn.Linear(8 + 6, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, dense: Tensor, bags: Tensor, offsets: Tensor) -> Tensor:
        low = self.bottom(dense)
        vectors = torch.stack([low, *[table(bags, offsets) for table in self.tables]], 1)
        products = vectors @ vectors.mT
        rows, columns = torch.tril_indices(4, 4, offset=-1, device=dense.device)
        return torch.sigmoid(self.top(torch.cat([low, products[:, rows, columns]], 1))).squeeze(1)


def test_recommender_with_adagrad() -> None:
    torch.manual_seed(0)
    given = {
        "dense": torch.rand(6, 4),
        "bags": torch.arange(17) * 7 % 50,
        "offsets": torch.tensor([0, 2, 2, 7, 11, 16]),
        "clicks": torch.tensor([0.0, 1, 1, 0, 0, 1]),
    }

    def loss(model: nn.Module, given: dict[str, Tensor]) -> Tensor:
        return functional.binary_cross_entropy(model(given["dense"], given["bags"], given["offsets"]), given["clicks"])

    for options in ({}, {"foreach": True}, {"fused": True}):
        check_step(
            Recommender(), loss, given, lambda parameters, rate, o=options: torch.optim.Adagrad(parameters, rate, **o)
        )


def test_a_causal_encoder() -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True, norm_first=True)
    model = nn.ModuleList([nn.Embedding(64, 16), nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)])

    def loss(model: nn.Module, tokens: Tensor) -> Tensor:
        embedding, encoder = model.children()
        mask = nn.Transformer.generate_square_subsequent_mask(tokens.size(1), tokens.device)
        out = encoder(embedding(tokens), mask=mask, is_causal=True)
        return functional.cross_entropy((out @ embedding.weight.mT).flatten(0, 1), tokens.flatten())

    check_step(model, loss, TOKENS)
