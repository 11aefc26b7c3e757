"""The backend that Triton finds through its entry point: TTIR to tile programs.

Imported during `import triton`: everything that could fail is imported when a kernel is compiled, not here.
"""

import functools
import hashlib
import importlib
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

if "triton" not in sys.modules:
    # Whoever imports this module first makes triton's plugin search import it again, whole: that one is to stay.
    _unfinished = sys.modules.pop(__name__)
    importlib.import_module("triton")
    sys.modules.setdefault(__name__, _unfinished)

from triton.backends.compiler import BaseBackend, GPUTarget

from triton_mtia_sim import argument_types, ttir, versions

BINARY_EXTENSION = "tileprog"


@dataclass(frozen=True)
class MtiaOptions:
    """Launch options. Those of the second half mean something to other backends only: accepted for their kernels."""

    num_stages: int = 2
    num_warps: int = 1
    debug: bool = False
    sanitize_overflow: bool = True  # takes effect under debug, as all assertions do
    allowed_dot_input_precisions: tuple[str, ...] = ("ieee", "tf32", "tf32x3", "bf16x3", "bf16x6")
    default_dot_input_precision: str = "ieee"
    supported_fp8_dtypes: tuple[str, ...] = ("fp8e4nv", "fp8e5", "fp8e4b15", "fp8e4b8", "fp8e5b16")
    deprecated_fp8_dot_operand_dtypes: tuple[str, ...] = ()
    max_num_imprecise_acc_default: int = 0
    enable_fp_fusion: bool = False
    backend_name: str = "mtia_sim"
    arch: str = ""
    enable_scatter_stores: bool = True
    cb_multiplier: int = 1
    use_dual_core: bool = False
    waits_for_products: bool = False  # mma.sync of a chip that also has wgmma: chips.md, dot_waited_fraction

    num_ctas: int = 1
    cluster_dims: tuple[int, ...] = (1, 1, 1)
    ctas_per_cga: tuple[int, ...] | None = None
    maxnreg: int | None = None
    extern_libs: Any = None
    launch_cooperative_grid: bool = False
    launch_cooperative_cluster: bool = False
    launch_pdl: bool = False
    instrumentation_mode: str = ""
    fpsan_homomorphic_casts: bool = False
    ir_override: str | None = None
    minRegAutoWS: int | None = None  # noqa: N815
    maxRegAutoWS: int | None = None  # noqa: N815
    pingpongAutoWS: bool = False  # noqa: N815
    num_consumer_groups: int = 0
    num_buffers_warp_spec: int = 0
    reg_dec_producer: int = 0
    reg_inc_consumer: int = 0
    waves_per_eu: int = 0
    matrix_instr_nonkdim: int = 0
    kpack: int = 1
    schedule_hint: str = "none"
    allow_flush_denorm: bool = False
    grf_mode: str = ""
    ptx_version: int | None = None
    ptx_options: str | None = None

    def hash(self) -> str:
        """Distinguishes compilations under different options."""
        return hashlib.sha256(repr(sorted(self.__dict__.items(), key=lambda item: item[0])).encode()).hexdigest()


class MtiaBackend(BaseBackend):
    """Compiles for target ("mtia_sim", chip name or path of a chip file, 1)."""

    binary_ext = BINARY_EXTENSION

    @staticmethod
    def supports_target(target: GPUTarget) -> bool:
        return bool(target.backend == "mtia_sim")

    def __init__(self, target: GPUTarget) -> None:
        refusal = versions.refusal()
        if refusal is not None:
            raise ImportError(refusal)
        super().__init__(target)

    def hash(self) -> str:
        """Covers the plugin's own code, the instruction set and the chip, so that the disk cache never goes stale."""
        return f"{plugin_fingerprint()}-{chip_fingerprint(str(self.target.arch))}"

    def parse_options(self, options: dict[str, Any]) -> MtiaOptions:
        known = {
            name: value
            for name, value in options.items()
            if name in MtiaOptions.__dataclass_fields__ and value is not None
        }
        known.setdefault("arch", str(self.target.arch))
        known.setdefault("sanitize_overflow", known.get("debug", False))
        if isinstance(known.get("extern_libs"), dict):
            known["extern_libs"] = tuple(known["extern_libs"].items())
        chosen = MtiaOptions(**known)
        if chosen.num_warps < 1 or chosen.num_warps & (chosen.num_warps - 1):
            raise AssertionError(f"num_warps is {chosen.num_warps}; it must be a power of 2")
        if chosen.num_stages < 1:
            raise ValueError(f"num_stages is {chosen.num_stages}; give 1 or more")
        return chosen

    def add_stages(self, stages: dict[str, Any], options: MtiaOptions, language: Any) -> None:
        from triton import knobs
        from triton.backends.compiler import Language

        if language != Language.TRITON:
            raise NotImplementedError("Gluon kernels are written for GPU layouts; write the kernel in triton.language")
        stages["ttir"] = lambda module, metadata: ttir.optimise(module)
        stages[BINARY_EXTENSION] = lambda module, metadata: make_program(module, metadata, options)
        stages["disassembly"] = lambda program, metadata: disassemble(program)
        if knobs.runtime.add_stages_inspection_hook is not None:
            knobs.runtime.add_stages_inspection_hook(self, stages, options, language, None)

    def load_dialects(self, context: Any) -> None:
        """TTIR's own dialects are all there is."""

    def get_codegen_implementation(self, options: MtiaOptions) -> dict[str, Callable[..., Any]]:
        from triton_mtia_sim.custom_types import convert_custom_types

        return {"convert_custom_types": convert_custom_types, "min_dot_size": lambda lhs, rhs: (1, 1, 1)}

    def get_module_map(self) -> dict[str, ModuleType]:
        from triton_mtia_sim import libdevice

        return {"triton.language.extra.libdevice": libdevice, "triton.language.extra.cuda.libdevice": libdevice}

    def pack_metadata(self, metadata: Any) -> tuple[int, int]:
        from triton_mtia_sim.cache_repair import mend

        mend(metadata, BINARY_EXTENSION)  # this is what Triton calls before it reads a kernel's files
        return (metadata.num_warps, metadata.shared)


versions.keep_concrete(MtiaBackend)
argument_types.accept()


def make_program(module: Any, metadata: dict[str, Any], options: MtiaOptions) -> bytes:
    """Lowers optimised TTIR to an encoded tile program and fills the metadata that Triton reads."""
    from mtia_core import chips
    from triton_mtia_sim.translate import translate

    text = ttir.generic_text(module)
    if os.environ.get("MTIA_SIM_EXPLAIN", "0") not in ("", "0"):
        from triton_mtia_sim.explain.explaining import print_report

        print_report(text, chips.load(options.arch), options.num_stages)
    program = translate(text, chips.load(options.arch), options.num_stages, options.enable_scatter_stores)
    program.waits_for_products = options.waits_for_products
    metadata["name"] = program.name
    metadata["shared"] = max(program.local_memory_bytes, 1)
    metadata["warp_size"] = 1
    metadata["global_scratch_size"] = metadata["profile_scratch_size"] = 0
    metadata["makes_pointers"] = makes_pointers(text)
    return program.encode()


def disassemble(program: bytes) -> str:
    """The program as people read it, with the kernel's lines: asm["disassembly"], and what dumps show."""
    from mtia_core.program import TileProgram

    return TileProgram.decode(program).disassemble(with_locations=True)


def makes_pointers(text: str) -> bool:
    """Whether a kernel gets pointers from anywhere but its arguments: from integers or from memory."""
    return '"tt.int_to_ptr"' in text or re.search(r'"tt\.load"\(.*-> (tensor<[\dx]*)?!tt\.ptr', text) is not None


@functools.cache
def plugin_fingerprint() -> str:
    """Hash of every source file that decides what a program looks like."""
    import mtia_core

    digest = hashlib.sha256()
    core = Path(mtia_core.__file__).parent
    files = [
        *sorted(Path(__file__).parent.rglob("*.py")),
        *sorted(core.glob("*.py")),
        core / "tables" / "instructions.def",
    ]
    for path in files:
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:32]


@functools.cache
def chip_fingerprint(chip: str) -> str:
    """Hash of what a chip's file says."""
    from mtia_core import chips

    return hashlib.sha256(chips.load(chip).serialise().encode()).hexdigest()[:16]
