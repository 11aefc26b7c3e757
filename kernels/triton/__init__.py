"""Triton kernels, one family a file: the @triton.jit function and its launch shape."""
