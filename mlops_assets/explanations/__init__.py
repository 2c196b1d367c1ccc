"""Why a record is an anomaly, in words. numpy and pydantic only: services explain with the same code."""
