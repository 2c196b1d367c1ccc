"""The database of a backup: dumped and restored by PostgreSQL's own programs, compared table by table.

Keep out files and the order of things (`make`, `restore`). Passwords go through the environment, never on a command
line, which every user of the machine may read.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, create_engine, make_url, text

from mlops_assets.backup.record import SCHEMAS, BackupError, Table
from mlops_assets.installation import postgres, schema
from mlops_assets.installation.supervisor import Supervisor
from mlops_assets.settings import Settings

JOBS = 2
# Where Debian and its like keep every version of the programs.
INSTALLED = Path("/usr/lib/postgresql")
TLS = ("require", "verify-ca", "verify-full")
LONGEST_SECONDS = 6 * 3600
STOP_SECONDS = 60
# Partitions are tables of their own; what they are partitions of would count their rows again.
_LEAVES = """
SELECT n.nspname || '.' || c.relname AS name, format('%I.%I', n.nspname, c.relname) AS quoted
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname = ANY(:schemas) ORDER BY 1
"""
_SUMMED = "SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM {table} AS t"


@contextmanager
def database_up(settings: Settings) -> Iterator[None]:
    """The installation's database answers meanwhile: its own is started if the installation is down."""
    if not settings.embedded_database or Supervisor(settings).running():
        schema.wait_for_database(settings)
        yield
        return
    postgres.prepare(settings)
    log = settings.logs / "postgres.log"
    with log.open("ab") as output:
        server = subprocess.Popen(
            postgres.command(settings),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            **postgres.as_user(postgres.system_user()),
        )
    try:
        schema.wait_for_database(settings)
        yield
    finally:
        # A fast stop: ends sessions and writes everything out.
        server.send_signal(signal.SIGINT)
        server.wait(STOP_SECONDS)


@contextmanager
def snapshot(settings: Settings) -> Iterator[tuple[Connection, str]]:
    """One state of all tables: a connection that sees it, and its name for `dump`."""
    engine = create_engine(settings.database, connect_args={"options": "-c timezone=UTC"})
    try:
        with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection, connection.begin():
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            yield connection, str(connection.scalar(text("SELECT pg_export_snapshot()")))
    finally:
        engine.dispose()


def fingerprints(connection: Connection) -> dict[str, Table]:
    """Every table's rows in number and in sum."""
    found = {}
    for row in connection.execute(text(_LEAVES), {"schemas": list(SCHEMAS)}).all():
        # PostgreSQL has quoted the name itself.
        summed = _SUMMED.format(table=row.quoted)
        count, total = connection.execute(text(summed)).one()
        found[row.name] = Table(rows=count, fingerprint=str(total))
    return found


def dump(settings: Settings, snapshot_name: str, into: Path) -> None:
    """Write every schema as it is in that snapshot. Raises BackupError."""
    schemas = [f"--schema={name}" for name in SCHEMAS]
    _run(
        settings,
        "pg_dump",
        [
            *("--format=directory", f"--jobs={JOBS}", "--compress=1", f"--file={into}"),
            *(f"--snapshot={snapshot_name}", "--no-owner", "--no-privileges", "--strict-names", *schemas),
        ],
    )


def restore(settings: Settings, folder: Path) -> None:
    """Make every schema anew from a dump. Raises BackupError."""
    engine = create_engine(settings.database)
    with engine.begin() as connection:
        for name in SCHEMAS:
            connection.execute(text(f"DROP SCHEMA IF EXISTS {name} CASCADE"))
    engine.dispose()
    _run(settings, "pg_restore", [f"--jobs={JOBS}", "--exit-on-error", "--no-owner", "--no-privileges", str(folder)])


def tables(settings: Settings) -> list[str]:
    """Names of the tables that are there."""
    engine = create_engine(settings.database)
    try:
        with engine.connect() as connection:
            return [row.name for row in connection.execute(text(_LEAVES), {"schemas": list(SCHEMAS)})]
    finally:
        engine.dispose()


def program_of(settings: Settings, program: str) -> Path:
    """The newest there is, of the embedded server and the system's, since none can read a server newer than itself.

    The embedded server's know no TLS. Raises BackupError where the database needs that and the system has none.
    """
    own = {postgres.version(): postgres.binaries() / program}
    if settings.embedded_database:
        return own[postgres.version()]
    needs_tls = make_url(settings.database).query.get("sslmode") in TLS
    system = {int(path.parts[-3]): path for path in INSTALLED.glob(f"[0-9]*/bin/{program}")}
    found = system | ({} if needs_tls else own)
    if not found:
        raise BackupError(f"{program} with TLS isn't installed. On Debian or Ubuntu: apt-get install postgresql-client")
    return found[max(found)]


def connection_environment(database: str) -> dict[str, str]:
    """What PostgreSQL's programs read from their environment to connect as an SQLAlchemy URL says."""
    url = make_url(database)
    given = {
        # libpq's own names for what it takes from its environment; of a host, those before win.
        **{f"PG{name.replace('_', '').upper()}": str(value) for name, value in url.query.items()},
        **({"PGHOST": url.host} if url.host else {}),
        **({"PGPORT": str(url.port)} if url.port else {}),
        "PGUSER": url.username or "",
        "PGPASSWORD": str(url.password or ""),
        "PGDATABASE": url.database or "",
    }
    return {name: value for name, value in given.items() if value}


def _run(settings: Settings, program: str, arguments: list[str]) -> None:
    if program == "pg_restore":
        arguments = [f"--dbname={make_url(settings.database).database}", *arguments]
    command = [str(program_of(settings, program)), *arguments]
    # Certificates are looked for at home; nothing else of this process concerns them.
    environment = {"HOME": str(Path.home()), "LC_ALL": "C.UTF-8", **connection_environment(settings.database)}
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=LONGEST_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise BackupError(f"{program} took over {LONGEST_SECONDS // 3600} hours") from None
    if done.returncode != 0:
        raise BackupError(f"{program} failed: {done.stderr.strip()[-2000:]}")
