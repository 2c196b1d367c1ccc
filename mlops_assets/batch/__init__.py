"""Batch scoring: months of records scored by the production release, kept, judged and shown."""
