"""TTIR text to a tile program: parse, lower, assemble."""

import gc
import sys

from mtia_core.chips import Chip
from mtia_core.program import TileProgram
from triton_mtia_sim.assemble import Watcher, assemble
from triton_mtia_sim.ir.inlining import inline_calls
from triton_mtia_sim.ir.parser import parse_module
from triton_mtia_sim.lowering import families
from triton_mtia_sim.lowering.kernel import KernelLowering
from triton_mtia_sim.lowering.software_floats import emulate_arithmetic
from triton_mtia_sim.lowering.state import LoweringOptions
from triton_mtia_sim.strips.splitting import Strips

assert families.FAMILIES  # imported for what it registers

# A chain of a few thousand element-wise operations is one recursion; Python frames do not use the C stack.
_RECURSION_LIMIT = 200_000


def translate(
    text: str,
    chip: Chip,
    num_stages: int = 2,
    enable_scatter_stores: bool = True,
    watch: Watcher | None = None,
    strips: Strips | None = None,
) -> TileProgram:
    """Compiles TTIR in generic form for a chip; `watch` is told what was lowered and placed.

    `strips` cuts large tiles as it says even where they fit whole.

    Raises UnsupportedOperation with operation, source line and remedy, and OutOfLocalMemory with the bytes needed.
    """
    del enable_scatter_stores
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _RECURSION_LIMIT))
    # Everything that a compilation makes lives to its end: collections in between find nothing and walk all of torch.
    collecting = gc.isenabled()
    gc.disable()
    try:
        module = parse_module(text)
        function = module.kernel
        if len(module.functions) > 1:
            inline_calls(module, function)
        if "FNUZ" in text:
            emulate_arithmetic(function)
        options = LoweringOptions(
            num_stages=num_stages,
            has_i8_products=chip.dot_i8_macs_per_cycle > 0,
            has_f8_products=chip.dot_f8_macs_per_cycle > 0,
            has_f4_products=chip.dot_f4_macs_per_cycle > 0,
            mx_block_elements=chip.dot_mx_block_elements,
            has_number_scales=chip.dot_f4_number_scales > 0,
        )
        kernel = KernelLowering(function, options)
        kernel.run()
        return assemble(kernel, function.attributes["sym_name"], chip.local_memory_bytes, chip.name, watch, strips)
    finally:
        if collecting:
            gc.enable()
        sys.setrecursionlimit(limit)
