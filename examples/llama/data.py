"""Text of a run: documents, their split into training and held-out text, and batches that a seed decides."""

import dataclasses
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import numpy
import torch
from torch import Tensor

from .errors import UserError
from .tokenizer import Tokenizer, Tokens, build_tokenizer

HELD_OUT = 20  # every 20th document is held out, or the last 20th of a lone one
EXCLUDED_FOLDERS = frozenset({"test", "tests", "idle_test", "site-packages", "__pycache__"})
RANDOM_TOKENS = 1 << 20
TRAINING_STREAM, HELD_OUT_STREAM = 0, 1  # second words of the Philox key


def standard_library_documents() -> list[bytes]:
    """The sources of Python's standard library without its tests, in the order of their paths."""
    root = Path(sysconfig.get_paths()["stdlib"])
    files = sorted(
        file for file in root.rglob("*.py") if EXCLUDED_FOLDERS.isdisjoint(file.relative_to(root).parts[:-1])
    )
    if not files:
        raise UserError(f"{root} holds no Python sources; give a text file or folder with --data")
    return [file.read_bytes() for file in files]


def documents_at(path: Path) -> list[bytes]:
    """The file at `path`, or all text files below the folder at `path` in the order of their paths."""
    if path.is_file():
        documents = [path.read_bytes()]
    else:
        visible = (
            file
            for file in path.rglob("*")
            if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts)
        )
        documents = [file.read_bytes() for file in sorted(visible)]
    texts = [document for document in documents if document and b"\0" not in document[:4096]]
    if not texts:
        raise UserError(f"--data {path} holds no text; give a text file or a folder of text files")
    return texts


def split(documents: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Training documents and held-out ones; fewer than HELD_OUT documents are cut as one text."""
    if len(documents) < HELD_OUT:
        text = b"\n".join(documents)
        cut = len(text) - len(text) // HELD_OUT
        return [text[:cut]], [text[cut:]]
    training = [document for index, document in enumerate(documents) if index % HELD_OUT != HELD_OUT - 1]
    return training, documents[HELD_OUT - 1 :: HELD_OUT]


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Token ids of a text; a batch depends on seed and step only, not on the device or on earlier batches."""

    tokenizer: "Tokenizer | RandomTokenizer"
    training: Tokens
    held_out: Tokens
    batch: int
    sequence: int
    seed: int

    def training_batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets [batch, sequence], int64 on the CPU, of a step."""
        return self._batch(
            self.training, numpy.random.Philox(key=[self.seed, TRAINING_STREAM], counter=[0, 0, 0, step])
        )

    def held_out_batches(self, count: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The same `count` batches of held-out text at every call."""
        for index in range(count):
            key = [self.seed, HELD_OUT_STREAM]
            yield self._batch(self.held_out, numpy.random.Philox(key=key, counter=[0, 0, 0, index]))

    def _batch(self, tokens: Tokens, bits: numpy.random.Philox) -> tuple[Tensor, Tensor]:
        starts = numpy.random.Generator(bits).integers(0, len(tokens) - self.sequence, size=self.batch)
        windows = numpy.stack([tokens[start : start + self.sequence + 1] for start in starts]).astype(numpy.int64)
        both = torch.from_numpy(windows)
        return both[:, :-1].contiguous(), both[:, 1:].contiguous()


@dataclasses.dataclass(frozen=True)
class RandomTokenizer:
    """Stands where the text of a published vocabulary is not at hand: all its tokens are equally likely."""

    vocabulary: int


def random_corpus(vocabulary: int, batch: int, sequence: int, seed: int) -> Corpus:
    """Token ids drawn uniformly: what costs what does not depend on their meaning."""
    numbers = numpy.random.default_rng(seed)
    training, held_out = (numbers.integers(0, vocabulary, RANDOM_TOKENS + sequence) for _ in range(2))
    return Corpus(RandomTokenizer(vocabulary), training, held_out, batch, sequence, seed)


def load_corpus(path: Path | None, vocabulary: int, batch: int, sequence: int, seed: int) -> Corpus:
    """Corpus of the text at `path`, or of the standard library; too short a text raises UserError."""
    documents = standard_library_documents() if path is None else documents_at(path)
    training, held_out = split(documents)
    tokenizer = build_tokenizer(training, vocabulary)
    corpus = Corpus(tokenizer, tokenizer.encode(training), tokenizer.encode(held_out), batch, sequence, seed)
    for name, tokens in (("training", corpus.training), ("held-out", corpus.held_out)):
        if len(tokens) <= sequence + 1:
            raise UserError(
                f"the {name} text has {len(tokens)} tokens, --seq {sequence} needs more than {sequence + 1}; "
                "use a shorter --seq or more text"
            )
    return corpus
