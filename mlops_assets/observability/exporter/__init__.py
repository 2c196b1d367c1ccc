"""What the platform tells Prometheus of itself: the metrics, who fills them, and the server that is asked."""
