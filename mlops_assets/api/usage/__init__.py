"""The routes of usage: what products, stages and jobs used and cost."""
