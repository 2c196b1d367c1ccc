"""The routes of scored months: products at a glance, months, records and stored pages."""
