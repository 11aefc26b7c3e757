"""Compiles one kernel of a Python file for a chip, without a device: `python -m triton_mtia_sim.ahead_of_time --help`.

What triton.tools.compile does for CUDA, whose output is C source for CUDA's driver. The file that this writes is a tile
program; torch.mtia_sim.load_kernel(path)[grid](*arguments) runs it, on any machine, under the chip it was made for.
"""

import argparse
import importlib.util
import sys
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget

from mtia_core import chips
from triton_mtia_sim.compiler import BINARY_EXTENSION


def kernel_of(path: Path, name: str) -> Any:
    """The @triton.jit function of a Python file, which is executed."""
    specification = importlib.util.spec_from_file_location(path.stem, path)
    if specification is None or specification.loader is None:
        raise ValueError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(specification)
    sys.path.insert(0, str(path.parent))
    specification.loader.exec_module(module)
    if not hasattr(module, name):
        raise ValueError(f"{path} has no {name}")
    return getattr(module, name)


def parse_signature(kernel: Any, text: str) -> tuple[dict[str, str], dict[str, int | float], dict[tuple[int], Any]]:
    """Types, constants and attributes of "*fp32:16, i32, 1024": a type, with a hint that it divides by 16 or is 1."""
    items = [item.strip() for item in text.split(",")]
    if len(items) != len(kernel.arg_names):
        raise ValueError(f"{len(items)} items in the signature, {kernel.__name__} has {kernel.arg_names}")
    types: dict[str, str] = {}
    constants: dict[str, int | float] = {}
    attributes: dict[tuple[int], Any] = {}
    for position, (name, item) in enumerate(zip(kernel.arg_names, items, strict=True)):
        kind, _, hint = item.partition(":")
        if hint not in ("", "1", "16"):
            raise ValueError(f"{name}: the hint {hint} is neither 1 nor 16")
        constant = _number("1" if hint == "1" else kind)
        types[name] = kind if constant is None else "constexpr"
        if constant is not None:
            constants[name] = constant
        elif hint == "16":
            attributes[(position,)] = [["tt.divisibility", 16]]
    return types, constants, attributes


def _number(text: str) -> int | float | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None


def compile_kernel(kernel: Any, signature: str, chip: str | None = None, options: dict[str, Any] | None = None) -> Any:
    """Triton's CompiledKernel of a kernel for a chip; no device and no torch is needed."""
    types, constants, attributes = parse_signature(kernel, signature)
    source = triton.compiler.ASTSource(kernel, types, constants, attributes)
    target = GPUTarget("mtia_sim", chip or chips.DEFAULT, 1)
    return triton.compile(source, target=target, options=options or {})


def main(arguments: list[str] | None = None) -> None:
    """Writes the program, and beside it its disassembly."""
    parser = argparse.ArgumentParser(prog="python -m triton_mtia_sim.ahead_of_time", description=__doc__)
    parser.add_argument("path", type=Path, help="a Python file with the kernel; it is executed")
    parser.add_argument("--kernel-name", "-n", required=True)
    parser.add_argument("--signature", "-s", required=True, help='such as "*fp32:16, *fp32, i32, 1024"')
    parser.add_argument("--chip", "-c", help=f"name of a chip or path of its file; {chips.DEFAULT} without")
    parser.add_argument("--num-stages", type=int, default=2)
    parser.add_argument("--out", "-o", type=Path, help="KERNEL.tileprog without")
    chosen = parser.parse_args(arguments)
    kernel = kernel_of(chosen.path, chosen.kernel_name)
    compiled = compile_kernel(kernel, chosen.signature, chosen.chip, {"num_stages": chosen.num_stages})
    out = chosen.out or Path(f"{chosen.kernel_name}.{BINARY_EXTENSION}")
    out.write_bytes(compiled.asm[BINARY_EXTENSION])
    out.with_suffix(".disassembly").write_text(compiled.asm["disassembly"])
    print(f"{out}: {len(compiled.asm[BINARY_EXTENSION])} bytes, {compiled.metadata.shared} bytes of local memory")


if __name__ == "__main__":
    main()
