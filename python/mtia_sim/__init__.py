"""mtia_sim as PyTorch sees it: importing torch loads this package through the entry point torch.backends."""

import importlib
import importlib.util


def _autoload() -> None:
    """Loads the extension; torch calls this on import. Does nothing before the first build."""
    if importlib.util.find_spec("mtia_sim._C") is not None:
        importlib.import_module("mtia_sim._C")
