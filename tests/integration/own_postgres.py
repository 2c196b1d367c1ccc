"""A PostgreSQL of one's own for tests: the system's server, with TLS, passwords and a role for each part.

The embedded server's wheel knows no TLS. Keep out assertions.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from mlops_assets.backup.database import INSTALLED
from mlops_assets.installation import postgres
from mlops_assets.storage import rights
from tests.servers import free_port, process

DATABASE = "ml"
ADMIN = "admin"
PASSWORD = "pass-word:/@%1"
HBA = "hostssl all all 0.0.0.0/0 scram-sha-256\nhostssl replication all 0.0.0.0/0 scram-sha-256\n"
LOCAL = "127.0.0.1"
# As another account, they may not look for certificates in the home of who runs the tests.
HOMELESS = {"HOME": "/nowhere"}


@dataclass(frozen=True)
class OwnPostgres:
    """A running server: where its files are, its port, the certificate that proves it."""

    folder: Path
    port: int
    address: str = LOCAL

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def certificate(self) -> Path:
        return self.folder / "server.crt"

    def url(self, role: str, mode: str = "verify-full", password: str = PASSWORD) -> str:
        """SQLAlchemy URL of a role."""
        password = password.replace("%", "%25").replace("@", "%40").replace("/", "%2F").replace(":", "%3A")
        place = f"{self.address}:{self.port}/{DATABASE}?sslmode={mode}&sslrootcert={self.certificate}"
        return f"postgresql+psycopg2://{role}:{password}@{place}"

    def connect(self, role: str, database: str = DATABASE) -> psycopg2.extensions.connection:
        """A plain connection, in autocommit."""
        connection = psycopg2.connect(
            host=self.address, port=self.port, user=role, password=PASSWORD, dbname=database, sslmode="verify-full",
            sslrootcert=str(self.certificate), connect_timeout=5,
        )  # fmt: skip
        connection.autocommit = True
        return connection

    def run(self, sql: str, role: str = ADMIN, database: str = DATABASE) -> list[tuple[object, ...]]:
        """What a statement gives."""
        connection = self.connect(role, database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def crash(self) -> None:
        """End it at once: sessions break, what was committed is in its files."""
        os.kill(int((self.data / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)

    def make_roles(self) -> None:
        """What the administrator does: the printed SQL, then passwords."""
        self.run(rights.roles_sql(DATABASE))
        for role in (rights.OWNER, rights.SERVING, rights.READER):
            self.run(f"ALTER ROLE {role} PASSWORD '{PASSWORD}'")


@contextmanager
def running_own_postgres(
    folder: Path, address: str = LOCAL, inside: Sequence[str] = (), **settings: str
) -> Iterator[OwnPostgres]:
    """A new server with an empty database. `inside` is put before its command, to start it on another host."""
    server = OwnPostgres(folder, free_port(), address)
    _make_folder(folder)
    secret = folder / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    _run("initdb", "-D", str(server.data), "-U", ADMIN, "--auth=scram-sha-256", f"--pwfile={secret}", "--no-sync")
    _certificate(folder, address)
    (server.data / "pg_hba.conf").write_text(HBA)
    with _running(server, inside, settings):
        server.run(f"CREATE DATABASE {DATABASE}", database="postgres")
        yield server


@contextmanager
def running_standby(primary: OwnPostgres, folder: Path) -> Iterator[OwnPostgres]:
    """A copy of a server that follows it, with the same certificate, until it is promoted."""
    server = OwnPostgres(folder, free_port(), primary.address)
    _make_folder(folder)
    place = f"host={primary.address} port={primary.port} user={ADMIN} sslmode=require"
    _run("pg_basebackup", "-D", str(server.data), "-d", place, "-R", "-X", "stream", "-c", "fast", PGPASSWORD=PASSWORD)
    for name in ("server.crt", "server.key"):
        shutil.copy2(primary.folder / name, folder / name)
        _own(folder / name)
    with _running(server, (), {}):
        yield server


@contextmanager
def _running(server: OwnPostgres, inside: Sequence[str], more: Mapping[str, str]) -> Iterator[None]:
    settings = {
        "listen_addresses": server.address, "port": str(server.port), "unix_socket_directories": "", "ssl": "on",
        "ssl_cert_file": str(server.certificate), "ssl_key_file": str(server.folder / "server.key"), "fsync": "off",
        "max_connections": "200", **more,
    }  # fmt: skip
    flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

    def ready() -> bool:
        try:
            server.run("SELECT 1", database="postgres")
        except psycopg2.OperationalError:
            return False
        return True

    user = postgres.system_user()
    become = ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups") if user else ()
    command = [*inside, *become, str(_program("postgres")), "-D", str(server.data), *flags]
    with process(command, server.folder / "postgres.log", ready, HOMELESS, stop=signal.SIGINT):
        yield


def _program(name: str) -> Path:
    return max(INSTALLED.glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))


def _run(program: str, *arguments: str, **environment: str) -> None:
    """One of PostgreSQL's programs as the server's account."""
    done = subprocess.run(
        [str(_program(program)), *arguments], **postgres.as_user(postgres.system_user()), cwd="/", check=False,
        capture_output=True, text=True, env=os.environ | HOMELESS | environment, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, f"{program}: {done.stderr}"


def _make_folder(folder: Path) -> None:
    folder.mkdir(parents=True)
    if postgres.system_user():
        postgres._let_pass(folder / "x")
    _own(folder)


def _own(path: Path) -> None:
    user = postgres.system_user()
    if user:
        shutil.chown(path, user)


def _certificate(folder: Path, address: str) -> None:
    """A certificate for an address that proves itself."""
    key, certificate = folder / "server.key", folder / "server.crt"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={address}"]
    command += ["-addext", f"subjectAltName=IP:{address}", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    os.chmod(key, 0o600)
    _own(key)
