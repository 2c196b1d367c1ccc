"""The overview: every product and the platform at a glance, each part with a judgement in words."""
