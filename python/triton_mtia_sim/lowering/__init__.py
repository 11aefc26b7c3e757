"""Lowering of TTIR operations to tile instructions: one registry, filled by the family files of this folder."""
