"""How Google Cloud Storage is asked: with limits on time. Needs gcsfs when it is used, not before.

Credentials are the cloud's own: GOOGLE_APPLICATION_CREDENTIALS, or the machine's or workload's identity.
Keep out what is asked (`files`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlops_assets.settings.clouds import ask_google_over_http, google_is_emulated

# gcsfs asks six times, with pauses of half a minute together: a store that hangs is given up after some 150 s.
CONNECT_SECONDS = 5
READ_SECONDS = 20
# Of one request, which carries 50 MB at most when it writes.
REQUEST_SECONDS = 600


def gcs_filesystem(options: Mapping[str, Any]) -> Any:
    """The fsspec file system of Google Cloud Storage. Raises ImportError without the extra `gcs`."""
    ask_google_over_http()
    import fsspec
    from aiohttp import ClientTimeout
    from gcsfs.core import GCSFileSystem

    # Whoever imported gcsfs before has its other file system, which waits for gRPC without a limit.
    fsspec.register_implementation("gs", GCSFileSystem, clobber=True)

    limits = ClientTimeout(total=REQUEST_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)
    # Left to itself, gcsfs goes on without credentials where it finds none. An emulator has none to give.
    token = "anon" if google_is_emulated() or "endpoint_url" in options else "google_default"
    given = {"token": token, "requests_timeout": limits, "use_listings_cache": False, **options}
    return GCSFileSystem(**given)
