"""The Triton versions that this backend works with, measured with its own tests on each."""

import functools
import logging

WORKS_WITH = (3, 7)  # under 3.8 and 3.9 most kernels work, descriptors made in a kernel do not


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
    if version == WORKS_WITH:
        return None
    sentence = (
        f"mtia_sim works with Triton {WORKS_WITH[0]}.{WORKS_WITH[1]} and stays off under this one, "
        f"{triton.__version__}: install triton=={WORKS_WITH[0]}.{WORKS_WITH[1]}.1"
    )
    logging.getLogger("triton_mtia_sim").warning(sentence)
    return sentence


def keep_concrete(plugin: type) -> None:
    """A Triton that asks more of its plugins than this one has must still find a class, or nobody could import it."""
    if refusal() is not None:
        plugin.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]
