"""What every part of mtia_sim shares: chips, the tile program encoding, errors. Imports neither torch nor triton."""
