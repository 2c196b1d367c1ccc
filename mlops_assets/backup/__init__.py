"""An installation's state in one folder: taken while it works, verified, put back into an empty place."""
