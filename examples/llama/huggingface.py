"""transformers' LlamaForCausalLM at the sizes of sizes.py, and text from its own generate()."""

from typing import Any

import torch
from torch import Tensor

from .errors import UserError
from .model import INITIAL_DEVIATION, NORM_EPSILON, ROPE_BASE
from .sizes import Size


def build_transformers_llama(size: Size, vocabulary: int, positions: int) -> Any:
    """LlamaForCausalLM with random weights; its attention is scaled_dot_product_attention."""
    try:
        from transformers import LlamaConfig, LlamaForCausalLM
        from transformers.utils import logging
    except ImportError as error:
        raise UserError(f"--impl hf needs the package transformers ({error}); pip install transformers") from error
    logging.set_verbosity_error()
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=size.hidden,
        intermediate_size=size.intermediate,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.key_value_heads,
        max_position_embeddings=positions,
        initializer_range=INITIAL_DEVIATION,
        rms_norm_eps=NORM_EPSILON,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_BASE},
        tie_word_embeddings=size.tied_head,
        attn_implementation="sdpa",
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    return LlamaForCausalLM(config)


def generate_with_cache(model: Any, prompt: Tensor, count: int, temperature: float) -> Tensor:
    """Token ids [prompt + count] sampled by model.generate with its key-value cache from prompt, int64."""
    attended = torch.ones_like(prompt)[None]
    with torch.no_grad():
        tokens: Tensor = model.generate(
            prompt[None],
            attention_mask=attended,
            max_new_tokens=count,
            do_sample=True,
            temperature=temperature,
            top_k=50,
            use_cache=True,
        )
    return tokens[0]
