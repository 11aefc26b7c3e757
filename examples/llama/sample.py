"""Text that a trained model writes."""

import torch

from .huggingface import generate_with_cache
from .options import Options
from .tokenizer import Tokenizer

PROMPT = b"def "
TEMPERATURE = 0.8


def sample_text(model: torch.nn.Module, tokenizer: Tokenizer, options: Options, device: torch.device) -> str:
    """PROMPT and up to options.sample tokens after it, drawn at TEMPERATURE; the seed decides them."""
    prompt = [int(token) for token in tokenizer.encode([PROMPT])]
    if options.impl == "hf":
        torch.manual_seed(options.seed)
        count = min(options.sample, options.seq - len(prompt))
        tokens = generate_with_cache(model, torch.tensor(prompt, device=device), count, TEMPERATURE).tolist()
    else:
        tokens = _sample_windows(model, prompt, options, device)
    return tokenizer.decode(tokens)


def _sample_windows(model: torch.nn.Module, tokens: list[int], options: Options, device: torch.device) -> list[int]:
    """Samples without a cache, on windows of one static shape: what follows a position does not change its logits."""
    generator = torch.Generator().manual_seed(options.seed)
    with torch.no_grad():
        for _ in range(options.sample):
            recent = tokens[-options.seq :]
            window = torch.zeros(1, options.seq, dtype=torch.int64)
            window[0, : len(recent)] = torch.tensor(recent)
            logits = model(window.to(device))[0, len(recent) - 1].float().cpu()
            probabilities = torch.softmax(logits / TEMPERATURE, dim=-1)
            tokens = [*tokens, int(torch.multinomial(probabilities, 1, generator=generator))]
    return tokens
