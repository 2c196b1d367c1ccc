"""Grafana dashboards as code: their queries, panels and layout; the JSON that Grafana reads is made from them."""
