"""The routes of health: whether the API works, figures of this moment, the newest report."""
