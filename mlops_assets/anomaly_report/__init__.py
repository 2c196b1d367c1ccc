"""What a person sees of scored records: figures, PNG charts, a page with hover. Knows no product and no detector."""
