"""Ladders: one operation from its first idea to near the chip's roofline, one idea a step (docs/ladder.md)."""
