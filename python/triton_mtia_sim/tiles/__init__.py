"""Tile instructions before their tiles have a place: the words in which the compiler's stages speak."""
