"""The page that tells and draws what triggers what, made from the loaded definitions."""
