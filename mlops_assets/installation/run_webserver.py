"""`python -m mlops_assets.installation.run_webserver …`: Dagster's webserver, which sees changes of a location sooner.

It asks each code server once a second whether what that has loaded is another one, and has no setting for that. A
pipeline that was just deployed is seen after a tenth of a second instead; the question costs a millisecond.
"""

from __future__ import annotations

import dagster._grpc.server_watcher
from dagster_webserver.cli import main

LOOK_SECONDS = 0.1


if __name__ == "__main__":
    dagster._grpc.server_watcher.WATCH_INTERVAL = LOOK_SECONDS  # type: ignore[assignment]
    main()  # type: ignore[no-untyped-call]
