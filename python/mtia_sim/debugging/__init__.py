"""Tools that look into kernels while they run: docs/debugging.md."""
