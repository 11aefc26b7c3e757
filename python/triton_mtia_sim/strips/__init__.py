"""Runs large blocks strip by strip where a kernel's whole tiles do not fit local memory."""
