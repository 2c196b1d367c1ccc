"""The routes of declared pipelines, their runs and what those leave."""
