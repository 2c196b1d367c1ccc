"""One installation on one machine: its processes, its embedded PostgreSQL, its health, from up to down.

| File | Role |
|---|---|
| `programs.py` | which processes an installation runs, their commands, ports and readiness |
| `supervisor.py` | the process manager: start, stop, state of the programs |
| `entry.py` | what each program runs first: ends leftovers of its earlier life, then becomes the program |
| `leftovers.py` | processes of this installation that nobody manages any more |
| `postgres.py` | the embedded PostgreSQL server: data folder, command |
| `up.py`, `down.py` | the whole installation, started and stopped |
| `doctor.py` | is everything right, and what to do if not |
"""
