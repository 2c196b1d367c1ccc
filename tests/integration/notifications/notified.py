"""Where people are told, for tests: a real mail server and a real web server, and a clock that is set by hand."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.servers import free_port

# Secrets in the addresses below, which must be shown nowhere.
PASSWORD = "s3cr3tPassw0rd"
TOKEN = "T0kenInThePath"


class HandClock:
    """The time, moved by hand."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Webhook:
    """A web server that keeps what it is posted. `status` is what it answers; while `hanging`, it answers nothing."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.status = 200
        self.hanging = threading.Event()
        self.released = threading.Event()
        self.arrived = threading.Event()
        told = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                told.arrived.set()
                if told.hanging.is_set():
                    told.released.wait(60)
                    return
                if told.status < 300:
                    told.posted.append(json.loads(body))
                    told.paths.append(self.path)
                self.send_response(told.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.server.server_address[1]}"

    @property
    def titles(self) -> list[str]:
        return [post["title"] for post in self.posted]


@contextmanager
def webhook() -> Iterator[Webhook]:
    """A web server while the block lasts."""
    told = Webhook()
    thread = threading.Thread(target=told.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield told
    finally:
        told.released.set()
        told.server.shutdown()
        told.server.server_close()
        thread.join(20)


class Mailbox:
    """Mails that a server took. With a `password`, only its user `kim` may send."""

    def __init__(self, password: str | None = None) -> None:
        self.password = password
        self.mails: list[EmailMessage] = []
        self.port = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.password is not None and not session.authenticated:
            return "530 5.7.0 Authentication required"
        assert isinstance(envelope.content, bytes)
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, method: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        return AuthResult(success=data.password.decode() == self.password, handled=False)


@contextmanager
def mailbox(password: str | None = None) -> Iterator[Mailbox]:
    """A mail server while the block lasts."""
    box = Mailbox(password)
    box.port = free_port()
    auth: dict[str, Any] = {}
    if password is not None:
        auth = {"authenticator": box.authenticate, "auth_require_tls": False}
    server = Controller(box, hostname="127.0.0.1", port=box.port, **auth)
    server.start()
    try:
        yield box
    finally:
        server.stop()


def web_url(web: Webhook) -> str:
    """The server's address as a team would set it."""
    return f"json://{web.place}/hooks/{TOKEN}"


def mail_url(mail: Mailbox, password: str = PASSWORD) -> str:
    """The same of a mail server."""
    return f"mailto://127.0.0.1:{mail.port}?user=kim&pass={password}&from=mlops@example.com&to=team@example.com"
