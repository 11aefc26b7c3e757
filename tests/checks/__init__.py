"""Checked mode: every row of csrc/emulator/checks/checks.def has a kernel here that is caught, and a mended twin."""
