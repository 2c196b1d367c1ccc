"""The routes of rollouts: what is, what happens next, and orders by hand."""
