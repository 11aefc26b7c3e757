"""Triton backend of mtia_sim: TTIR to tile programs. Does not import torch."""
