"""A fuzzer of the compiler and the emulator: random TTIR kernels against numpy. `python -m tests.fuzz --help`."""
