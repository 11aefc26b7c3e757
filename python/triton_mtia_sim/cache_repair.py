"""Mends damaged programs in Triton's cache from the TTIR that lies beside them."""

from pathlib import Path
from typing import Any

from triton.runtime.cache import get_cache_manager

from mtia_core.errors import InvalidProgram
from mtia_core.program import check


def mend(metadata: Any, extension: str) -> None:
    """Makes the cached program of a kernel again where its bytes are no program.

    `metadata` is a CompiledKernel's, before its files are read. Where the TTIR beside it is damaged too, the program is
    left as it is, to be refused by name when it is loaded.
    """
    folder = getattr(get_cache_manager(metadata.hash), "cache_dir", None)
    for path in Path(folder).glob(f"*.{extension}") if folder else ():
        try:
            check(path.read_bytes())
        except InvalidProgram:
            _make_again(path, metadata)


def _make_again(path: Path, metadata: Any) -> None:
    from mtia_core import chips
    from triton_mtia_sim.translate import translate
    from triton_mtia_sim.ttir import read_ttir

    try:
        text = read_ttir(path.with_suffix(".ttir"))
        program = translate(text, chips.load(metadata.target.arch), metadata.num_stages).encode()
    except (OSError, RuntimeError, ValueError):
        return
    get_cache_manager(metadata.hash).put(program, path.name, binary=True)
