"""A PostgreSQL of one's own for tests: the system's server, with TLS, passwords and a role for each part.

The embedded server's wheel knows no TLS. Keep out assertions.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
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
HBA = "hostssl all all 0.0.0.0/0 scram-sha-256\n"
LOCAL = "127.0.0.1"


@dataclass(frozen=True)
class OwnPostgres:
    """A running server: where its files are, its port, the certificate that proves it."""

    folder: Path
    port: int
    address: str = LOCAL

    @property
    def certificate(self) -> Path:
        return self.folder / "server.crt"

    def url(self, role: str, mode: str = "verify-full") -> str:
        """SQLAlchemy URL of a role."""
        password = PASSWORD.replace("%", "%25").replace("@", "%40").replace("/", "%2F").replace(":", "%3A")
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

    def make_roles(self) -> None:
        """What the administrator does: the printed SQL, then passwords."""
        self.run(rights.roles_sql(DATABASE))
        for role in (rights.OWNER, rights.SERVING, rights.READER):
            self.run(f"ALTER ROLE {role} PASSWORD '{PASSWORD}'")


@contextmanager
def running_own_postgres(folder: Path, address: str = LOCAL, inside: Sequence[str] = ()) -> Iterator[OwnPostgres]:
    """A new server with an empty database. `inside` is put before its command, to start it on another host."""
    binaries = max(INSTALLED.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3])).parent
    user = postgres.system_user()
    folder.mkdir(parents=True)
    if user:
        postgres._let_pass(folder / "x")
        shutil.chown(folder, user)
    secret = folder / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    data = folder / "data"
    initdb = [str(binaries / "initdb"), "-D", str(data), "-U", ADMIN, "--auth=scram-sha-256", f"--pwfile={secret}"]
    subprocess.run([*initdb, "--no-sync"], **postgres.as_user(user), cwd="/", check=True, capture_output=True)
    _certificate(folder, user, address)
    (data / "pg_hba.conf").write_text(HBA)
    server = OwnPostgres(folder, free_port(), address)
    settings = {
        "listen_addresses": address, "port": str(server.port), "unix_socket_directories": "", "ssl": "on",
        "ssl_cert_file": str(server.certificate), "ssl_key_file": str(folder / "server.key"), "fsync": "off",
        "max_connections": "200",
    }  # fmt: skip
    flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

    def ready() -> bool:
        try:
            server.run("SELECT 1", database="postgres")
        except psycopg2.OperationalError:
            return False
        return True

    become = ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups") if user else ()
    command = [*inside, *become, str(binaries / "postgres"), "-D", str(data), *flags]
    with process(command, folder / "postgres.log", ready, stop=signal.SIGINT):
        server.run(f"CREATE DATABASE {DATABASE}", database="postgres")
        yield server


def _certificate(folder: Path, user: str | None, address: str) -> None:
    """A certificate for an address that proves itself."""
    key, certificate = folder / "server.key", folder / "server.crt"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={address}"]
    command += ["-addext", f"subjectAltName=IP:{address}", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    os.chmod(key, 0o600)
    if user:
        shutil.chown(key, user)
