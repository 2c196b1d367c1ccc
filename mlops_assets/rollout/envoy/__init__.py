"""The configuration of the gateway's Envoy as pure functions from what we declare to the JSON that Envoy reads.

Add a file here when another part of Envoy is configured. Keep out what decides (the rollout) and what acts: writing
files and running the process are `gateway` and `process`.

| File | Role |
|---|---|
| upstreams.py | what is configured from: products, limits, names |
| routes.py | the part that changes while it runs: who goes where |
| bootstrap.py | the part that doesn't: the whole, put together |
| listener.py, users.py, access_log.py, replies.py | how requests are taken in, told apart, logged, refused |
| tracing.py | which requests a collector of traces is told of, if there is one |
| door.py, door_replies.py | the listener for people, with Dagster and MLflow behind its sign-in |
| clusters.py | how services are reached, watched and left out |
| process.py | runs Envoy and stops it without breaking a request |
"""
