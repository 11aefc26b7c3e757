"""The suites of benchmarks/run.py and what they share: timing, checking, reporting."""
