"""The Triton versions that this backend works with, measured with its own tests on each."""

import functools
import logging

FIRST = (3, 7)
LAST = (3, 9)


@functools.cache
def refusal() -> str | None:
    """Why the backend stays off under the Triton that is installed; None where it works.

    Says so once, and never raises: it runs during `import triton`, which belongs to others too.
    """
    import triton

    parts = str(getattr(triton, "__version__", "")).split(".")
    try:
        version = int(parts[0]), int(parts[1])
    except (ValueError, IndexError):
        version = (0, 0)
    if FIRST <= version <= LAST:
        return None
    sentence = (
        f"mtia_sim works with Triton {FIRST[0]}.{FIRST[1]} to {LAST[0]}.{LAST[1]} and stays off under this one, "
        f"{triton.__version__}: install triton=={FIRST[0]}.{FIRST[1]}.1"
    )
    logging.getLogger("triton_mtia_sim").warning(sentence)
    return sentence


def keep_concrete(plugin: type) -> None:
    """A Triton that asks more of its plugins than this one has must still find a class, or nobody could import it."""
    if refusal() is not None:
        plugin.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]
