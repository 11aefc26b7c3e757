"""Kernels of mtia_sim: triton/ holds one file a Triton kernel, cpp/ one file a C++ kernel."""
