"""Text to token ids: bytes as they are, or a byte-pair encoding trained on the text and cached."""

import hashlib
import os
from pathlib import Path
from typing import Protocol

import numpy
from numpy.typing import NDArray

from .errors import UserError
from .files import write_atomically

Tokens = NDArray[numpy.uint16]
BYTE_VOCABULARY = 256
LARGEST_VOCABULARY = 65536  # token ids are kept as uint16


class Tokenizer(Protocol):
    vocabulary: int

    def encode(self, documents: list[bytes]) -> Tokens: ...

    def decode(self, tokens: list[int]) -> str: ...


class ByteTokenizer:
    """A token is a byte."""

    vocabulary = BYTE_VOCABULARY

    def encode(self, documents: list[bytes]) -> Tokens:
        return numpy.frombuffer(b"".join(documents), dtype=numpy.uint8).astype(numpy.uint16)

    def decode(self, tokens: list[int]) -> str:
        return bytes(tokens).decode("utf-8", errors="replace")


def cache_folder() -> Path:
    """Where trained encodings are kept, apart from any run: $XDG_CACHE_HOME/mtia_sim/tokenizers."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "mtia_sim" / "tokenizers"


class BytePairTokenizer:
    """Byte-level byte-pair encoding of `vocabulary` tokens, trained on `documents` unless the cache has it."""

    def __init__(self, documents: list[bytes], vocabulary: int) -> None:
        if vocabulary > LARGEST_VOCABULARY:
            raise UserError(f"--vocab is {vocabulary}; at most {LARGEST_VOCABULARY} tokens are supported")
        try:
            import tokenizers
        except ImportError as error:
            raise UserError(f"--vocab above {BYTE_VOCABULARY} needs the package tokenizers ({error})") from error
        digest = hashlib.sha256(f"{tokenizers.__version__} {vocabulary}\n".encode())
        for document in documents:
            digest.update(len(document).to_bytes(8, "little"))
            digest.update(document)
        self._file = cache_folder() / f"{digest.hexdigest()[:32]}-{vocabulary}.json"
        if not self._file.exists():
            self._train(documents, vocabulary)
        self._tokenizer = tokenizers.Tokenizer.from_file(str(self._file))
        self.vocabulary = self._tokenizer.get_vocab_size()
        if self.vocabulary != vocabulary:
            raise UserError(
                f"--vocab is {vocabulary}, but the text has only {self.vocabulary} different pieces; "
                f"use --vocab {self.vocabulary} or more text"
            )

    def _train(self, documents: list[bytes], vocabulary: int) -> None:
        from tokenizers import Tokenizer as Encoding
        from tokenizers import decoders, models, pre_tokenizers, trainers

        encoding = Encoding(models.BPE())
        encoding.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        encoding.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        texts = (document.decode("utf-8", errors="replace") for document in documents)
        encoding.train_from_iterator(texts, trainer=trainer)
        write_atomically(self._file, lambda path: encoding.save(str(path)))

    def encode(self, documents: list[bytes]) -> Tokens:
        """Ids of all documents, one after the other; kept beside the encoding for the next run."""
        digest = hashlib.sha256()
        for document in documents:
            digest.update(len(document).to_bytes(8, "little"))
            digest.update(document)
        cached = self._file.with_name(f"{self._file.stem}-{digest.hexdigest()[:32]}.npy")
        if not cached.exists():
            texts = [document.decode("utf-8", errors="replace") for document in documents]
            pieces = [numpy.array(encoded.ids, dtype=numpy.uint16) for encoded in self._tokenizer.encode_batch(texts)]
            tokens = numpy.concatenate(pieces) if pieces else numpy.empty(0, dtype=numpy.uint16)
            write_atomically(cached, lambda path: numpy.save(path, tokens))
        return numpy.load(cached)

    def decode(self, tokens: list[int]) -> str:
        text: str = self._tokenizer.decode(tokens)
        return text


def build_tokenizer(documents: list[bytes], vocabulary: int) -> Tokenizer:
    if vocabulary == BYTE_VOCABULARY:
        return ByteTokenizer()
    return BytePairTokenizer(documents, vocabulary)
