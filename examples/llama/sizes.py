"""The sizes that --model offers; imports no torch."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Size:
    """Shape of a Llama; `learning_rate` is the peak that suits AdamW at this size.

    `vocabulary` is that of the published model, for the sizes that are one; others take the text's.
    """

    hidden: int
    layers: int
    heads: int
    key_value_heads: int
    intermediate: int
    tied_head: bool
    learning_rate: float
    vocabulary: int | None = None

    @property
    def head_dimension(self) -> int:
        return self.hidden // self.heads

    def matrix_parameters(self, vocabulary: int) -> int:
        """Weights that a token is multiplied with: all matrices of the layers and the head, not the embedding."""
        key_value = self.key_value_heads * self.head_dimension
        attention = 2 * self.hidden * self.hidden + 2 * self.hidden * key_value
        return self.layers * (attention + 3 * self.hidden * self.intermediate) + vocabulary * self.hidden

    def parameters(self, vocabulary: int) -> int:
        """All trained numbers."""
        norms = (2 * self.layers + 1) * self.hidden
        return self.matrix_parameters(vocabulary) + norms + (0 if self.tied_head else vocabulary * self.hidden)

    def training_flops_per_token(self, vocabulary: int, sequence: int) -> int:
        """Model FLOPs of forward and backward for one token: 6 a matrix weight, and causal attention.

        Attention: scores and weighted values are 2 * sequence * hidden multiply-adds a token and layer without the
        mask, half of them with it; times 2 FLOPs, times 3 for forward and backward (PaLM, arXiv:2204.02311,
        appendix B, which counts the masked half too).
        """
        return 6 * self.matrix_parameters(vocabulary) + 6 * self.layers * sequence * self.hidden


SIZES = {
    "tiny": Size(128, 4, 4, 2, 352, tied_head=True, learning_rate=3e-3),
    "5m": Size(256, 6, 4, 2, 768, tied_head=True, learning_rate=1.5e-3),
    "30m": Size(512, 10, 8, 4, 1408, tied_head=False, learning_rate=8e-4),
    "110m": Size(768, 16, 12, 4, 2304, tied_head=False, learning_rate=5e-4),
    # Llama 3.1 (arXiv:2407.21783, table 3).
    "8b": Size(4096, 32, 32, 8, 14336, tied_head=False, learning_rate=3e-4, vocabulary=128256),
    "70b": Size(8192, 80, 64, 8, 28672, tied_head=False, learning_rate=1.5e-4, vocabulary=128256),
    "405b": Size(16384, 126, 128, 8, 53248, tied_head=False, learning_rate=8e-5, vocabulary=128256),
}
