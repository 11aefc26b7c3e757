"""Reads this repository's sources for the tests that hold them to the house rules."""

import ast
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Reference:
    """One include or import: who names it, where, what is named, and whether it runs when the file is imported."""

    path: Path
    line: int
    target: str
    at_import: bool = True

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line} names {self.target}"


def sources(*patterns: str) -> list[Path]:
    """Returns the files that git tracks or would track, by git's path patterns."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return sorted({ROOT / name for name in listed if (ROOT / name).is_file() and not (ROOT / name).is_symlink()})


def includes(path: Path) -> Iterator[Reference]:
    """Yields every #include of a C++ file, quoted or in angle brackets."""
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if match := re.match(r'\s*#\s*include\s*[<"]([^">]+)[">]', line):
            yield Reference(path, number, match[1])


def imports(path: Path, package: str = "") -> Iterator[Reference]:
    """Yields every module a Python file imports: at top level, inside functions, or by importlib with a literal name.

    Args:
        path: The file.
        package: Dotted name of the package that holds it, to resolve relative imports.
    """
    tree = ast.parse(path.read_text(), str(path))
    deferred = {
        id(inner)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or _is_type_checking(outer)
        for inner in ast.walk(outer)
    }
    for node in ast.walk(tree):
        at_import = id(node) not in deferred
        for name in _modules(node, package):
            yield Reference(path, getattr(node, "lineno", 0), name, at_import)


def modules(roots: Mapping[str, str]) -> dict[str, Path]:
    """The file of every module of some packages, by dotted name; `roots` has each package's folder, by its name."""
    paths = {}
    for package, root in roots.items():
        for path in sources(f"{root}/*.py"):
            parts = path.relative_to(ROOT / root).with_suffix("").parts
            paths[".".join([package, *(parts[:-1] if parts[-1] == "__init__" else parts)])] = path
    return paths


def module_graph(paths: Mapping[str, Path]) -> dict[str, set[str]]:
    """Which of these modules each of them imports, inside functions and for the type checker too.

    `from package import name` is an import of the module package.name where there is one, of the package's __init__ for
    any other name. That importing a.b runs a's __init__ first is no import of it: the face of a package stands above.
    """
    graph: dict[str, set[str]] = {}
    for module, path in paths.items():
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        used: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            named = _modules(node, package)
            if isinstance(node, ast.ImportFrom):
                base, *names = named
                used.update(name for name in names if name in paths)
                extension = {f"{base}._C"}
                if any(name not in paths and name not in extension for name in names):
                    used.add(base)
            else:
                used.update(named)
        graph[module] = (used & paths.keys()) - {module}
    return graph


def _modules(node: ast.AST, package: str) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        base = ".".join([*parents, *([node.module] if node.module else [])])
        # `from package import module` may name a module: both spellings are checked.
        return [base, *(f"{base}.{alias.name}" for alias in node.names)]
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        function = ast.unparse(node.func)
        if function.endswith(("import_module", "__import__")) and isinstance(node.args[0].value, str):
            return [node.args[0].value]
    return []


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
