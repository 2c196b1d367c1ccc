"""The typed client of the control API: `from mlops_assets.client import Client`."""
