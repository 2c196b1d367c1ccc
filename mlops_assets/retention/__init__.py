"""How long everything is kept: one declared list, and the nightly removal of what nothing else removes."""
