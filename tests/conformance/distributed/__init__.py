"""Cases of the suites about many ranks."""
