"""Imports every family file, which fills the registry."""

from triton_mtia_sim.lowering import (
    arithmetic,
    conversions,
    descriptors,
    diagnostics,
    externals,
    mathematics,
    memory,
    products,
    reductions,
    regions,
    scaled_products,
    shapes,
)

FAMILIES = (
    arithmetic,
    conversions,
    descriptors,
    diagnostics,
    externals,
    mathematics,
    memory,
    products,
    reductions,
    regions,
    scaled_products,
    shapes,
)
