"""Training jobs on many chips whose speed was published: the model, and how it is spread."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mtia_sim.study.llama import SIZES, Size


def attention_environment(waits: bool) -> dict[str, str]:
    """What chooses a process's attention, whatever the process that starts it has: as Job.attention_waits."""
    return {"MTIA_SIM_ATTENTION_WAITS": str(int(waits))}


@dataclass(frozen=True)
class Job:
    """A model of llama.SIZES on `data` * `copies` * `context` * `tensor` * `pipeline` chips, and what a step of it is.

    data: Shards of weights, gradients and moments, `copies` of all that. context: Parts of each sequence, by which
    the shards are cut further. batch: Sequences of a step for each of the data-parallel ranks. microbatch: Of them, how
    many go through the pipeline at a time. chunks: Parts of the model on each rank of a pipeline, which are
    interleaved. recompute: "none", "full", "layer" (every second one) or "operators" (all but attention, what was
    scattered, and every second product), as torchtitan names them. dtype: Of numbers at work. fused_optimizer: AdamW in
    one kernel, or one for each of its operations. written_out: As of titan_llama.Llama. attention_waits: Attention is
    FlashAttention-2's, whose programs wait for their products.
    """

    model: str
    data: int = 1
    tensor: int = 1
    pipeline: int = 1
    context: int = 1
    copies: int = 1
    batch: int = 1
    sequence: int = 8192
    microbatch: int = 1
    chunks: int = 1
    recompute: str = "none"
    dtype: str = "bfloat16"
    fused_optimizer: bool = True
    written_out: bool = False
    attention_waits: bool = False

    def size(self, layers: int | None = None) -> Size:
        """Shape of the model, of which `layers`; None: all of them."""
        return SIZES[self.model] if layers is None else replace(SIZES[self.model], layers=layers)

    @property
    def environment(self) -> dict[str, str]:
        """What a process that takes a step of it needs."""
        return attention_environment(self.attention_waits)

    @property
    def chips(self) -> int:
        """How many there are."""
        return self.data * self.copies * self.context * self.tensor * self.pipeline

    @property
    def tokens(self) -> float:
        """Tokens of a step for each chip."""
        return self.batch * self.sequence / (self.context * self.tensor * self.pipeline)

    @property
    def described(self) -> str:
        """The model, how many chips, and the ways of being parallel."""
        ways = (
            ("FSDP", self.data), ("DP", self.copies), ("TP", self.tensor), ("CP", self.context), ("PP", self.pipeline)
        )  # fmt: skip
        spread = ", ".join(f"{name} {count}" for name, count in ways if count > 1)
        return f"{self.model} on {self.chips:,} chips ({spread})"


# torchtitan, benchmarks/llama3_h100_202412 at commit 9dec370: recomputation and AdamW by operations. Until its pull
# request 1196 (2025-05), and after it on all but Blackwell, attention is FlashAttention-2.
_TITAN_8B = Job("llama3-8b", data=8, batch=2, recompute="operators", fused_optimizer=False, attention_waits=True)
# torchtitan, docs/performance.md of 2024-10.
_TITAN_A100 = Job("llama3-8b", data=64, recompute="layer", fused_optimizer=False)
# arXiv:2407.21783, 3.3.2 and table 4: interleaved stages, one layer a part; the first part holds the embedding alone,
# the last one the head.
_LLAMA3_405B = Job("llama3-405b", data=64, tensor=8, pipeline=16, batch=32, chunks=8)
JOBS: Mapping[str, Job] = {
    "llama3-8b-train-8": _TITAN_8B,
    "llama3-8b-train-8-eager": replace(_TITAN_8B, written_out=True),
    "llama3-8b-train-128": replace(_TITAN_8B, data=128),
    "llama3-8b-train-64": _TITAN_A100,
    "llama3-70b-train-64": replace(_TITAN_A100, model="llama3-70b", recompute="full"),
    # torchtitan, benchmarks/asyncTP_llama3_h100_2025-06.
    "llama3-70b-train-256": Job("llama3-70b", data=32, tensor=8, batch=16, recompute="full", attention_waits=True),
    "llama3-405b-train-8192": _LLAMA3_405B,
    "llama3-405b-train-16384": replace(_LLAMA3_405B, data=128, batch=16),
}
