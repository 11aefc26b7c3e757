"""Makes the host's own arithmetic the same in every process: what a script computes on the CPU feeds the device."""

import torch


def settle() -> None:
    """Makes this thread the first of the process that enters MKL's vector mathematics.

    CPU torch computes cos, sin, exp, log, sqrt and tanh of more than 2,048 elements by MKL on several threads.
    Where those are the first calls of the process they race to set the library up, and a thread that loses computes its
    share by kernels of lower accuracy: a table of rotary positions [256, 32] then differs by up to 1.5e-4 in the second
    half, in 1 to 6 of 100 processes on an idle host of two cores. One element is computed on the calling thread alone.
    """
    torch.ones(1).cos()
