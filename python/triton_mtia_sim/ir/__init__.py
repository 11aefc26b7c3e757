"""A small Python form of TTIR: types, operations, and the reader of MLIR's generic text."""
