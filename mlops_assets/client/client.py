"""The client that scripts hold: every call of pipelines, runs and artifacts on one connection.

Keep out the calls themselves (`pipelines`, `runs`, `artifacts`) and how requests are sent (`connection`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx

from mlops_assets.api.pipelines.run_schemas import Statistics
from mlops_assets.client.artifacts import ArtifactCalls
from mlops_assets.client.connection import Clock, Connection, Patience, Sent
from mlops_assets.client.errors import ApiError, ClientError
from mlops_assets.client.pipelines import PipelineCalls
from mlops_assets.client.runs import RunCalls

TOKEN_FILE = "operator_token"  # noqa: S105 (a file's name)


class Client(PipelineCalls, RunCalls, ArtifactCalls):
    """The control API at `url`, as the holder of `token`. One thread at a time; `with` closes what it opened.

        with Client("http://127.0.0.1:8000", token) as client:
            client.apply(Path("two_stage.yaml"))
            run = client.wait(client.run("two_stage", parameters={"rows": 10}).id)

    Every call raises ClientError: ApiError where the API refused (its subclasses say how), itself where nothing could
    be sent. Requests that change nothing, creating and starting are tried again when the API is away for a moment.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        patience: Patience | None = None,
        transport: httpx.BaseTransport | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._connection = Connection(url, token, patience or Patience(), clock or Clock(), transport)

    @classmethod
    def local(cls) -> Client:
        """The API of this machine's installation, past its door, as its operator.

        Raises:
            SettingsError: a variable can't be used. ClientError: the operators' token isn't there or not readable.
        """
        from mlops_assets.settings import load

        settings = load()
        return cls(settings.api_server_url, _token(settings.secrets / TOKEN_FILE))

    @property
    def url(self) -> str:
        """Where the API's routes begin."""
        return self._connection.url

    def statistics(self) -> Statistics:
        """Pipelines, runs and artifacts at a glance."""
        return self._connection.get(Statistics, "statistics")

    def health(self) -> dict[str, Any]:
        """What the API says of itself. UnavailableError: it can't work."""
        answer = self._connection.request(Sent("GET", "health"))
        try:
            found = json.loads(answer.content)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ApiError(answer.status_code, "Unexpected answer", "what GET health answers is no JSON object")
        return found

    def close(self) -> None:
        """Close what was opened."""
        self._connection.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self.url!r})"


def _token(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise ClientError(f"there is no token in {path}; is the platform set up? run: mlops up") from None
    except (OSError, UnicodeDecodeError) as error:
        cause = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
        raise ClientError(f"token file {path}: {cause}") from None
