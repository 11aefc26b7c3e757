"""Files of a source tree that name another device are read as if they named this one; the files stay as they are."""

import re
import sys
from importlib.machinery import FileFinder, SourceFileLoader
from pathlib import Path
from typing import Any


def install(root: Path, renames: list[tuple[str, str]]) -> None:
    """Imports from below ``root`` see their text with each expression replaced, in order."""

    class RenamingLoader(SourceFileLoader):
        def get_code(self, fullname: str) -> Any:  # without the cache of code, which knows nothing of renames
            path = self.get_filename(fullname)
            text = Path(path).read_text(encoding="utf-8")
            for expression, other in renames:
                text = re.sub(expression, other, text)
            return self.source_to_code(text.encode(), path)

    finder_of = FileFinder.path_hook((RenamingLoader, [".py"]))

    def below_root(path: str) -> Any:
        if not Path(path).resolve().is_relative_to(root.resolve()):
            raise ImportError(f"{path} is not below {root}")
        return finder_of(path)

    sys.path_hooks.insert(0, below_root)
    sys.path_importer_cache.clear()
