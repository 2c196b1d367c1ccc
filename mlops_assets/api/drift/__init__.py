"""The routes of drift: products at a glance, the heat map of one, a day's verdict, stored reports."""
