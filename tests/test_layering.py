"""Dependencies point one way, in C++ and in Python; the rule is rule 1 of the architecture."""

import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.source_tree import ROOT, Reference, imports, includes, module_graph, modules, sources

# Low to high: a folder of csrc includes only itself and what stands before it.
CPP_ORDER = (
    "include",
    "base",
    "transport",
    "host_math",
    "chip",
    "isa",
    "program",
    "emulator",
    "kernels",
    "network",
    "runtime",
    "torch_backend",
    "bindings",
)
# Folders of csrc that may know of torch and of Python at all.
TORCH_FOLDERS = ("torch_backend", "bindings")
TORCH_PREFIXES = ("ATen/", "torch/", "c10/", "caffe2/", "pybind11/", "Python.h")
WHOLE_TORCH = ("torch/extension.h", "torch/torch.h", "torch/all.h", "torch/python.h", "ATen/ATen.h", "ATen/Functions.h")

PYTHON_ORDER = ("mtia_core", "triton_mtia_sim", "mtia_sim_kernels", "mtia_sim", "tests")
PYTHON_ROOTS = {
    "mtia_core": "python/mtia_core",
    "triton_mtia_sim": "python/triton_mtia_sim",
    "mtia_sim_kernels": "kernels",
    "mtia_sim": "python/mtia_sim",
    "tests": "tests",
    "benchmarks": "benchmarks",
    "examples": "examples",
}
# Low to high, the subpackages and modules of a package: what stands in one line does not import what stands beside it.
ROOM_ORDER = {
    "triton_mtia_sim": (
        (
            "argument_types",
            "custom_types",
            "errors",
            "graph_benchmark",
            "launch_cache",
            "launch_codes",
            "libdevice",
            "moved_sources",
            "ttir",
            "versions",
        ),
        ("ir",),
        ("tiles",),
        ("analysis",),
        ("lowering",),
        ("strips",),
        ("assemble",),
        ("translate",),
        ("cache_repair", "explain"),
        ("compiler",),
        ("ahead_of_time", "launch"),
        ("",),
        ("driver",),
    ),
    "mtia_sim": (
        ("_utils", "amp", "batching", "checking", "checkpoints", "cpp_compiler"),
        ("distributed_attention", "distributed_groups", "explanation"),
        ("interchange", "launch_bridge", "processes", "status", "triton_runtime", "world"),
        ("initialisation", "meeting", "operators", "random", "rejection", "smi"),
        ("distributed",),
        ("_registration", "counters", "cpp_kernels", "debugging", "devices", "memory", "timing"),
        ("reporting", "stored_kernels", "streams", "tracing"),
        ("__main__", "compilation", "graphs"),
        ("",),
    ),
}


def cpp_folder(path: Path) -> str:
    parts = path.relative_to(ROOT).parts
    return "kernels" if parts[0] == "kernels" else parts[1]


CPP_FILES = sources("csrc/*.h", "csrc/*.cpp", "csrc/*.inc", "kernels/cpp/*.h", "kernels/cpp/*.cpp")
CPP_INCLUDES = [reference for path in CPP_FILES for reference in includes(path)]


def test_every_folder_of_csrc_has_its_place_in_the_order() -> None:
    assert {cpp_folder(path) for path in CPP_FILES} <= set(CPP_ORDER)


@pytest.mark.parametrize("folder", CPP_ORDER)
def test_cpp_includes_only_lower_folders(folder: str) -> None:
    allowed = CPP_ORDER[: CPP_ORDER.index(folder) + 1]
    wrong = [
        str(reference)
        for reference in CPP_INCLUDES
        if cpp_folder(reference.path) == folder
        and (first := reference.target.split("/")[0]) in CPP_ORDER
        and first not in allowed
    ]
    assert not wrong, f"{folder} may include {', '.join(allowed)} only:\n" + "\n".join(wrong)


def test_kernels_stay_on_the_tile_interface() -> None:
    """A C++ kernel reaches memory and arithmetic through the emulator's units, never through the host's loops."""
    wrong = [str(r) for r in CPP_INCLUDES if cpp_folder(r.path) == "kernels" and r.target.startswith("host_math/")]
    assert not wrong, "\n".join(wrong)


def may_include_torch(reference: Reference) -> bool:
    folder = cpp_folder(reference.path)
    # The torch-free builds leave *.aten.cpp of host_math out, so nothing else there may need ATen.
    at_math = folder == "host_math" and reference.path.name.endswith(".aten.cpp")
    return folder in TORCH_FOLDERS or at_math


def test_only_the_upper_folders_know_torch() -> None:
    wrong = [str(r) for r in CPP_INCLUDES if r.target.startswith(TORCH_PREFIXES) and not may_include_torch(r)]
    assert not wrong, "torch is for " + ", ".join(TORCH_FOLDERS) + " and host_math/*.aten.cpp:\n" + "\n".join(wrong)


def test_nobody_includes_all_of_torch() -> None:
    """Such a header costs half a minute in every file that includes it; narrow ones exist."""
    wrong = [str(reference) for reference in CPP_INCLUDES if reference.target in WHOLE_TORCH]
    assert not wrong, "\n".join(wrong)


def python_imports(package: str) -> list[Reference]:
    root = ROOT / PYTHON_ROOTS[package]
    found = []
    for path in sources(f"{PYTHON_ROOTS[package]}/*.py"):
        inner = path.relative_to(root).parent.parts
        found += imports(path, ".".join([package, *inner]))
    return found


@pytest.mark.parametrize("package", PYTHON_ORDER[:-1])
def test_python_imports_only_lower_packages(package: str) -> None:
    allowed = PYTHON_ORDER[: PYTHON_ORDER.index(package) + 1]
    forbidden = set(PYTHON_ROOTS) - set(allowed)
    wrong = [str(reference) for reference in python_imports(package) if reference.target.split(".")[0] in forbidden]
    assert not wrong, f"{package} may import {', '.join(allowed)} only:\n" + "\n".join(wrong)


MODULES = module_graph(modules({name: PYTHON_ROOTS[name] for name in PYTHON_ORDER[:-1]}))


def room(module: str) -> str:
    """The subpackage or module of its package that a module belongs to; "" for the package's own __init__."""
    return module.split(".")[1] if "." in module else ""


def test_no_circle_of_imports() -> None:
    """Imports inside functions count, and those for the type checker alone."""
    try:
        TopologicalSorter(MODULES).prepare()
    except CycleError as error:
        pytest.fail(
            "a circle of imports: " + " <- ".join(error.args[1]) + ". Move what both need into a module below them, "
            "or let the lower one ask through a Protocol (triton_mtia_sim/analysis/interfaces.py)"
        )


@pytest.mark.parametrize("package", ROOM_ORDER)
def test_modules_of_a_package_import_only_lower_ones(package: str) -> None:
    level = {name: number for number, names in enumerate(ROOM_ORDER[package]) for name in names}
    inside = {module: used for module, used in MODULES.items() if module.split(".")[0] == package}
    # A module of mtia_sim that nobody names yet may stand anywhere outside of a circle; all of the compiler are named.
    homeless = {room(module) for module in inside} - level.keys()
    assert package == "mtia_sim" or not homeless, f"give {homeless} a place in ROOM_ORDER[{package!r}] of {__file__}"
    gone = level.keys() - {room(module) for module in inside}
    assert not gone, f"ROOM_ORDER[{package!r}] of {__file__} names {', '.join(sorted(gone))}, which is not there"
    wrong = [
        f"{module} imports {other}"
        for module, used in inside.items()
        for other in used
        if other in inside and room(other) != room(module) and {room(other), room(module)} <= level.keys()
        if level[room(other)] >= level[room(module)]
    ]
    assert not wrong, "these imports run upwards or sideways in ROOM_ORDER:\n" + "\n".join(sorted(wrong))


@pytest.mark.parametrize("package", ["mtia_core", "triton_mtia_sim"])
def test_no_torch_when_imported(package: str) -> None:
    wrong = [str(r) for r in python_imports(package) if r.target.split(".")[0] == "torch" and r.at_import]
    assert not wrong, "\n".join(wrong)


def test_core_needs_neither_torch_nor_triton() -> None:
    wrong = [str(r) for r in python_imports("mtia_core") if r.target.split(".")[0] in ("torch", "triton", "numpy")]
    assert not wrong, "\n".join(wrong)


def test_importing_the_low_packages_leaves_torch_unloaded() -> None:
    modules = [
        ".".join(path.relative_to(ROOT / "python").with_suffix("").parts)
        for path in sources("python/mtia_core/*.py")
        if path.name != "__init__.py"
    ]
    program = f"import importlib, sys\nfor name in {modules}:\n  importlib.import_module(name)\n"
    program += "assert not {'torch', 'triton'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import a.b", ["a.b"]),
        ("def f():\n    from a import b", ["a", "a.b"]),
        ("from . import b", ["p.q", "p.q.b"]),
        ("from ..r import b", ["p.r", "p.r.b"]),
        ("import importlib\nimportlib.import_module('a.c')", ["importlib", "a.c"]),
    ],
)
def test_the_reader_sees_every_form_of_import(text: str, expected: list[str], tmp_path: Path) -> None:
    path = tmp_path / "probe.py"
    path.write_text(text)
    assert [reference.target for reference in imports(path, "p.q")] == expected


def test_the_reader_sees_a_circle(tmp_path: Path) -> None:
    texts = {
        "p": "from p.a import f",
        "p.a": "from p import b, _C",
        "p.b": "def f():\n    import p.c",
        "p.c": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.a import f",
        "p.d": "from p import f",
    }
    paths = {name: tmp_path / name / "__init__.py" if name == "p" else tmp_path / f"{name}.py" for name in texts}
    for name, path in paths.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(texts[name])
    graph = module_graph(paths)
    assert graph == {"p": {"p.a"}, "p.a": {"p.b"}, "p.b": {"p.c"}, "p.c": {"p.a"}, "p.d": {"p"}}
    with pytest.raises(CycleError):
        TopologicalSorter(graph).prepare()
