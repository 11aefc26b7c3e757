"""Triton's intermediate language on the way to this backend: its passes, and its text in MLIR's generic form."""

from pathlib import Path
from typing import Any


def optimise(module: Any) -> Any:
    """Triton's own passes on TTIR. Tensor descriptors stay: they are DMA descriptors."""
    from triton._C.libtriton import ir, passes

    manager = ir.pass_manager(module.context)
    manager.enable_debug()
    passes.common.add_inliner(manager)
    if hasattr(passes.ttir, "add_rewrite_tensor_pointer"):  # from Triton 3.8 on the front end does it
        passes.ttir.add_rewrite_tensor_pointer(manager)
    passes.common.add_canonicalizer(manager)
    passes.ttir.add_combine(manager)
    passes.ttir.add_reorder_broadcast(manager)
    passes.common.add_cse(manager)
    passes.ttir.add_triton_licm(manager)
    passes.common.add_symbol_dce(manager)
    passes.ttir.add_loop_unroll(manager)
    passes.common.add_canonicalizer(manager)
    passes.common.add_cse(manager)
    manager.run(module, "make_ttir")
    return module


def generic_text(module: Any) -> str:
    """The module in MLIR's generic form, which is what MLIR prints when verification fails: make it fail."""
    from triton._C.libtriton import ir

    module.set_attr("llvm.data_layout", ir.builder(module.context).get_string_attr("bogus!"))
    return str(module)


def read_ttir(path: Path) -> str:
    """A file of TTIR in MLIR's generic form. Raises RuntimeError where it is none."""
    from triton._C.libtriton import ir

    context = ir.context()
    ir.load_dialects(context)
    module = ir.parse_mlir_module(str(path), context)
    module.context = context
    return generic_text(module)
