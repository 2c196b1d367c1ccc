"""From a source to a numbered version of cleaned, judged rows."""
