"""The Grafana dashboards on real data."""
