"""Assertions, prints, barriers, and what is refused by name."""

from triton_mtia_sim.lowering.registry import lowers_effect
from triton_mtia_sim.lowering.site import Site


@lowers_effect("tt.assert")
def assertion(site: Site) -> None:
    """Faults with the message where the condition is false."""
    condition = site.operand(0)
    if site.kernel.options.enable_assertions and not (condition.is_constant and condition.integer):
        site.emit("assert_", [], [condition, None], (site.kernel.string(site.attribute("message", "")),))


@lowers_effect("tt.print")
def print_values(site: Site) -> None:
    """Prints program id and values."""
    prefix = site.attribute("prefix", "")
    values = [site.full(index) for index in range(site.operand_count)]
    site.emit("print", [], values, (site.kernel.string(prefix), int(bool(site.attribute("hex", False)))))


@lowers_effect("ttg.barrier", "gpu.barrier", "ttg.local_barrier")
def barrier(site: Site) -> None:
    """All units have finished."""
    site.emit("barrier", [], [])


@lowers_effect("llvm.intr.assume")
def assume(site: Site) -> None:
    """A promise that this compiler has no use for."""


@lowers_effect("tt.elementwise_inline_asm")
def inline_assembly(site: Site) -> None:
    """Refused: it is written in one vendor's instruction set."""
    text = str(site.attribute("asm_string", "")).strip().splitlines()
    site.refuse(
        f"inline assembly of another chip, `{text[0] if text else ''}`",
        "write it in triton.language, and keep the assembly for the targets that triton.language.target_info names",
    )
