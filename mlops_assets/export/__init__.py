"""`mlops export`: what a team would take with it, in formats that others read."""
