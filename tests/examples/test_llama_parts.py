"""Parts of the Llama example: model against transformers', sizes, text, tokenizers, options, atomic files."""

from pathlib import Path

import numpy
import pytest
import torch
from llama.data import Corpus, documents_at, load_corpus, split, standard_library_documents
from llama.errors import UserError
from llama.files import remove_leftovers, write_atomically
from llama.huggingface import build_transformers_llama
from llama.model import Llama
from llama.options import parse_options
from llama.sizes import SIZES, Size
from llama.tokenizer import BytePairTokenizer, ByteTokenizer

SMALL = Size(64, 2, 4, 2, 96, tied_head=False, learning_rate=1e-3)


@pytest.mark.parametrize("tied", [False, True])
def test_plain_llama_computes_what_transformers_does(tied: bool) -> None:
    size = Size(64, 2, 4, 2, 96, tied_head=tied, learning_rate=1e-3)
    torch.manual_seed(3)
    reference = build_transformers_llama(size, 50, 24).double()
    plain = Llama(size, 50, 24).double()
    plain.load_state_dict(reference.state_dict())
    tokens = torch.randint(50, (3, 17))
    torch.testing.assert_close(plain(tokens), reference(input_ids=tokens).logits, rtol=1e-5, atol=1e-6)


def test_logits_do_not_see_later_tokens() -> None:
    torch.manual_seed(0)
    model = Llama(SMALL, 50, 24)
    tokens = torch.randint(50, (1, 24))
    changed = tokens.clone()
    changed[0, 12:] = torch.randint(50, (12,))
    torch.testing.assert_close(model(tokens)[0, :12], model(changed)[0, :12], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "least", "most"), [("tiny", 0.5, 1), ("5m", 4.5, 5.5), ("30m", 28, 32), ("110m", 105, 115)]
)
def test_sizes_are_what_their_names_say(name: str, least: float, most: float) -> None:
    size = SIZES[name]
    with torch.device("meta"):
        model = Llama(size, 256, 256)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert parameters == size.parameters(256)
    assert least <= parameters / 1e6 <= most


def test_training_flops_are_those_of_the_matrix_products() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    model = Llama(SMALL, 50, 32)
    with FlopCounterMode(display=False) as counter:
        model(torch.randint(50, (2, 32))).sum().backward()
    matrices = 6 * SMALL.matrix_parameters(50) * 2 * 32
    attention = counter.get_total_flops() - matrices
    counted = 2 * 32 * SMALL.training_flops_per_token(50, 32) - matrices
    assert counted == 6 * SMALL.layers * 32 * SMALL.hidden * 64
    assert attention in (0, pytest.approx(2 * counted, rel=0.3))  # torch counts the masked half, or no CPU attention


def test_standard_library_text_has_no_tests() -> None:
    documents = standard_library_documents()
    assert 8e6 < sum(map(len, documents)) < 20e6
    assert not any(b"class MixinTestBase" in document for document in documents)


def test_held_out_documents_are_apart() -> None:
    documents = [bytes([index]) for index in range(60)]
    training, held_out = split(documents)
    assert held_out == [bytes([19]), bytes([39]), bytes([59])]
    assert sorted(training + held_out) == documents


def test_lone_text_is_cut() -> None:
    training, held_out = split([b"a" * 950 + b"b" * 50])
    assert (training, held_out) == ([b"a" * 950], [b"b" * 50])


def test_folder_leaves_out_binary_and_hidden_files(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("second")
    (tmp_path / "a.md").write_text("first")
    (tmp_path / "image").write_bytes(b"\x00\x01")
    (tmp_path / ".hidden").write_text("no")
    assert documents_at(tmp_path) == [b"first", b"second"]


def test_batches_depend_on_seed_and_step_alone() -> None:
    tokens = numpy.arange(1000, dtype=numpy.uint16)
    first, same, other = (Corpus(ByteTokenizer(), tokens, tokens, 3, 16, seed) for seed in (1, 1, 2))
    inputs, targets = first.training_batch(5)
    assert inputs.shape == targets.shape == (3, 16) and inputs.dtype == torch.int64
    assert torch.equal(inputs[:, 1:], targets[:, :-1]) and torch.equal(inputs[:, 0] + 1, targets[:, 0])
    same.training_batch(4)
    assert torch.equal(same.training_batch(5)[0], inputs)
    assert not torch.equal(first.training_batch(6)[0], inputs)
    assert not torch.equal(other.training_batch(5)[0], inputs)
    repeated = [torch.stack([batch[0] for batch in first.held_out_batches(4)]) for _ in range(2)]
    assert torch.equal(*repeated) and len(repeated[0].unique(dim=0)) == 4


def test_too_short_text_names_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "short.txt"
    path.write_text("x" * 1000)
    with pytest.raises(UserError, match="held-out text has 50 tokens, --seq 64 needs more than 65"):
        load_corpus(path, 256, batch=2, sequence=64, seed=0)


def test_bytes_round_trip() -> None:
    text = "naïve café →"
    tokenizer = ByteTokenizer()
    assert tokenizer.decode(tokenizer.encode([text.encode()]).tolist()) == text


def test_byte_pairs_round_trip_and_come_from_the_cache(
    text: Path, caches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [text.read_bytes()]
    tokenizer = BytePairTokenizer(documents, 500)
    tokens = tokenizer.encode(documents)
    assert tokenizer.vocabulary == 500 and tokens.max() < 500
    assert len(tokens) < len(documents[0]) / 1.5
    assert tokenizer.decode(tokens.tolist()) == documents[0].decode()
    monkeypatch.setattr(BytePairTokenizer, "_train", lambda *_: pytest.fail("trained although cached"))
    assert numpy.array_equal(BytePairTokenizer(documents, 500).encode(documents), tokens)


def test_vocabulary_larger_than_the_text_can_fill(caches: Path) -> None:
    with pytest.raises(UserError, match="--vocab is 5000, but the text has only"):
        BytePairTokenizer([b"abc abc abd"], 5000)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "0"], "--steps is 0; it must be 1 or more"),
        (["--vocab", "100"], "--vocab is 100; 256 means bytes"),
        (["--lr", "-1"], r"--lr is -1\.0; it must be above 0"),
        (["--eval-every", "0"], "--eval-every is 0"),
        (["--out", __file__], "is a file; give the name of a folder"),
    ],
)
def test_impossible_options_are_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_options(arguments)


def test_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    write_atomically(path, lambda temporary: temporary.write_text("old"))

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, fail)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_leftovers_of_killed_writers_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_text("good")
    (tmp_path / ".checkpoint.123.pt").write_text("half")
    remove_leftovers(path)
    assert list(tmp_path.iterdir()) == [path]
