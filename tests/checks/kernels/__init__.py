"""One file a check: the smallest kernel that triggers it, and its mended twin. docs/checks.md shows them."""
