"""How the platform is: facts, the rules that judge them, and the hourly report."""
