"""What each database role may do with the platform's tables, where the database is one of your own.

The orchestrator's role owns every schema. Services and gateways need little of it, dashboards only look. `roles_sql` is
for whoever administers the database, once; the rights on tables are given again after every migration, to those of the
roles that are there. Keep out passwords: those are the administrator's.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, text

OWNER, SERVING, READER = "mlops_orchestrator", "mlops_serving", "mlops_reader"
SCHEMAS = ("mlops", "dagster", "mlflow")

# What services and gateways read: who serves, what was answered and said, how a day's data drifted.
_READ = ("ledger", "release", "drift_verdict", "prediction", "feedback", "feedback_current", "migration")
# What shipping the log writes: rows that nobody changes, counts that go up, feedback that waits for its prediction.
_ADDED = ("prediction", "feedback", "request_failure")
_COUNTED = ("log_hour", "traffic", "units", "exposure")
_WAITING = ("feedback_waiting",)
# Digests of tokens, and answers that are kept to be given again: nothing to look at.
_HIDDEN = ("api_token", "answered_request")


def roles_sql(database: str) -> str:
    """The statements that make the roles and schemas, for psql as a superuser or the owner of `database`."""
    quoted = '"' + database.replace('"', '""') + '"'
    roles = [OWNER, SERVING, READER]
    lines = [
        "-- Run as a superuser, or as the owner of the database with CREATEROLE. Running it again changes nothing.",
        "-- Then give each role its password:  \\password mlops_orchestrator",
    ]
    for role in roles:
        lines.append(f"DO $$ BEGIN CREATE ROLE {role} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;")
    lines += [
        f"REVOKE ALL ON DATABASE {quoted} FROM PUBLIC;",
        f"GRANT CONNECT ON DATABASE {quoted} TO {', '.join(roles)};",
        # A restore makes the schemas anew.
        f"GRANT CREATE, TEMPORARY ON DATABASE {quoted} TO {OWNER};",
        f"GRANT {OWNER} TO CURRENT_USER;",
        *(f"CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION {OWNER};" for schema in SCHEMAS),
        f"ALTER ROLE {SERVING} SET statement_timeout = '30s';",
        f"ALTER ROLE {READER} SET statement_timeout = '60s';",
        f"ALTER ROLE {READER} SET default_transaction_read_only = on;",
    ]
    return "\n".join(lines) + "\n"


def grant(connection: Connection) -> list[str]:
    """Give the roles that are there their rights, and nothing else; which they are.

    The names are this file's own, so no text of others gets into a statement.
    """
    asked = text("SELECT rolname FROM pg_roles WHERE rolname = ANY(:names) AND rolname <> current_user")
    there = sorted(connection.scalars(asked, {"names": [SERVING, READER]}))
    for role in there:
        for statement in _serving() if role == SERVING else _reader():
            connection.execute(text(statement))
    return there


def _serving() -> Iterator[str]:
    yield f"GRANT USAGE ON SCHEMA mlops TO {SERVING}"
    yield f"REVOKE ALL ON ALL TABLES IN SCHEMA mlops FROM {SERVING}"
    for tables, rights in (
        (_READ, "SELECT"),
        (_ADDED, "SELECT, INSERT"),
        (_COUNTED, "SELECT, INSERT, UPDATE"),
        (_WAITING, "SELECT, INSERT, UPDATE, DELETE"),
    ):
        yield f"GRANT {rights} ON {', '.join(f'mlops.{table}' for table in tables)} TO {SERVING}"
    yield f"GRANT USAGE ON SEQUENCE mlops.batch TO {SERVING}"
    yield f"GRANT EXECUTE ON FUNCTION mlops.ensure_prediction_day(date) TO {SERVING}"


def _reader() -> Iterator[str]:
    for schema in ("mlops", "dagster"):
        yield f"GRANT USAGE ON SCHEMA {schema} TO {READER}"
        yield f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {READER}"
        yield f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO {READER}"
    yield f"REVOKE ALL ON {', '.join(f'mlops.{table}' for table in _HIDDEN)} FROM {READER}"
