"""A second team's project for tests: one product of another shape, declared in YAML with its own functions."""
