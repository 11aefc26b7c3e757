"""Runs other projects' own tests against the device: ``python -m tests.conformance --help``, docs/conformance.md."""
