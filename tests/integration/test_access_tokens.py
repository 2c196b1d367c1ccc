"""Tokens on a real PostgreSQL: issued once, unique by name, ended by revocation and time, and the commands for them."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from mlops_assets.access import audit, tokens
from mlops_assets.access.known import MOST_REMEMBERED, REMEMBER_SECONDS, KnownTokens
from mlops_assets.access.roles import AccessError, Caller, Kind, Role
from mlops_assets.storage.access_tables import ApiToken
from mlops_assets.storage.database import Database
from tests.servers import child_environment

BY = Caller("cli", "kim", Role.OPERATOR, Kind.CLI)
MLOPS = Path(sys.executable).parent / "mlops"


class Clocks:
    """The two clocks of known tokens, which a test moves together."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.start = datetime.now(UTC)

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.seconds)


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def known(database: Database, clocks: Clocks) -> KnownTokens:
    return KnownTokens(database, clocks.monotonic, clocks.now)


def test_a_token_lets_its_caller_in_with_its_role(database: Database, known: KnownTokens) -> None:
    for role in Role:
        token = tokens.create(database, BY, f"for-{role}", role)
        caller = known.caller(token)
        assert caller is not None
        assert (caller.name, caller.role, caller.kind) == (f"for-{role}", role, Kind.TOKEN)


def test_what_is_stored_does_not_hold_the_secret(database: Database) -> None:
    token = tokens.create(database, BY, "ci", Role.EDITOR)
    secret = token.split("_", 2)[2]
    with database.engine.connect() as connection:
        for table in ("api_token", "audit"):
            rows = connection.execute(text(f"SELECT row_to_json(t)::text FROM mlops.{table} t")).scalars().all()
            assert rows
            assert not [row for row in rows if secret in row or token in row]


def test_another_secret_or_id_lets_nobody_in(database: Database, known: KnownTokens) -> None:
    token, other = (tokens.create(database, BY, name, Role.VIEWER) for name in ("a", "b"))
    token_id, secret = token.split("_", 2)[1:]
    changed = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    for wrong in (f"mlops_{token_id}_{changed}", f"mlops_{other.split('_')[1]}_{secret}", f"mlops_{'0' * 16}_{secret}"):
        assert known.caller(wrong) is None
    assert known.caller(token) is not None


def test_a_revoked_token_ends_within_the_time_it_is_remembered(
    database: Database, known: KnownTokens, clocks: Clocks
) -> None:
    token = tokens.create(database, BY, "ci", Role.EDITOR)
    assert known.caller(token) is not None
    tokens.revoke(database, BY, "ci")
    clocks.seconds += REMEMBER_SECONDS
    assert known.caller(token) is None
    assert known.of_session(token.split("_")[1]) is None


def test_a_token_ends_at_its_time_however_well_it_is_remembered(
    database: Database, known: KnownTokens, clocks: Clocks
) -> None:
    token = tokens.create(database, BY, "ci", Role.EDITOR, days=1)
    clocks.seconds = 86_400 - 10
    assert known.caller(token) is not None
    clocks.seconds = 86_400 - REMEMBER_SECONDS / 2
    assert known.caller(token) is not None
    clocks.seconds = 86_400 + REMEMBER_SECONDS / 4
    assert known.caller(token) is None


def test_a_remembered_token_needs_no_database_and_an_old_memory_does(
    database: Database, known: KnownTokens, clocks: Clocks
) -> None:
    token = tokens.create(database, BY, "ci", Role.EDITOR)
    assert known.caller(token) is not None
    known._database = Database.connect("postgresql+psycopg2://nobody@127.0.0.1:1/none")
    assert known.caller(token) is not None
    clocks.seconds += REMEMBER_SECONDS
    with pytest.raises(OperationalError):
        known.caller(token)


def test_what_is_remembered_is_bounded(database: Database, known: KnownTokens) -> None:
    token = tokens.create(database, BY, "ci", Role.EDITOR)
    known.caller(token)
    for number in range(MOST_REMEMBERED + 20):
        assert known.of_session(f"{number:016x}") is None
    assert len(known._remembered) == MOST_REMEMBERED
    assert known.caller(token) is not None


def test_the_last_use_is_noted_about_once_a_minute(database: Database, known: KnownTokens, clocks: Clocks) -> None:
    token = tokens.create(database, BY, "ci", Role.EDITOR)
    wrong = f"mlops_{token.split('_')[1]}_{'x' * 43}"

    def last_used() -> datetime | None:
        return tokens.listed(database)[0].last_used_at

    known.caller(wrong)
    assert last_used() is None
    for _ in range(5):
        known.caller(token)
    first = last_used()
    assert first is not None
    clocks.seconds += 30
    known.caller(token)
    assert last_used() == first
    clocks.seconds += 31
    known.caller(token)
    assert last_used() != first


def test_a_name_belongs_to_one_active_token(database: Database) -> None:
    first = tokens.create(database, BY, "ci", Role.VIEWER)
    with pytest.raises(AccessError, match=r"^name: .*'ci' is active"):
        tokens.create(database, BY, "ci", Role.OPERATOR)
    tokens.revoke(database, BY, "ci")
    second = tokens.create(database, BY, "ci", Role.EDITOR)
    assert first != second
    assert {token.revoked_at is None for token in tokens.listed(database)} == {True, False}


def test_an_expired_token_gives_its_name_free(database: Database) -> None:
    tokens.create(database, BY, "ci", Role.VIEWER, days=1)
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE mlops.api_token SET expires_at = now() - interval '1 minute'"))
    tokens.create(database, BY, "ci", Role.VIEWER)
    old = tokens.listed(database)[1]
    assert old.revoked_at == old.expires_at


def test_of_many_at_once_one_gets_the_name(database: Database) -> None:
    def create(_: int) -> bool:
        try:
            tokens.create(database, BY, "ci", Role.VIEWER)
            return True
        except AccessError:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(create, range(16))) == 1
    assert len(tokens.listed(database)) == 1


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "-x", "x" * 64, "ü", "a\n", "a\0", "<b>", "../x", "operator", "0123456789abcdef"]
)
def test_a_name_that_can_not_be_used_is_refused(database: Database, name: str) -> None:
    with pytest.raises(AccessError, match=r"^name: "):
        tokens.create(database, BY, name, Role.VIEWER)
    assert not tokens.listed(database)


@pytest.mark.parametrize("days", [0, -1, 3651])
def test_days_out_of_range_are_refused(database: Database, days: int) -> None:
    with pytest.raises(AccessError, match=r"^days: "):
        tokens.create(database, BY, "ci", Role.VIEWER, days)


def test_a_token_is_revoked_by_name_or_id_and_once(database: Database) -> None:
    by_id = tokens.create(database, BY, "a", Role.VIEWER).split("_")[1]
    assert tokens.revoke(database, BY, by_id).name == "a"
    with pytest.raises(AccessError, match="already"):
        tokens.revoke(database, BY, by_id)
    with pytest.raises(AccessError, match="already"):
        tokens.revoke(database, BY, "a")
    tokens.create(database, BY, "a", Role.VIEWER)
    assert tokens.revoke(database, BY, "a").id != by_id
    with pytest.raises(AccessError, match="no token"):
        tokens.revoke(database, BY, "nobody")
    acts = [(act.who, act.action, act.object) for act in audit.page(database, audit.Filters(), 10)]
    made, ended = ("kim", "token.create", "a"), ("kim", "token.revoke", "a")
    assert acts == [ended, made, ended, made]


def mlops(url: str, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = child_environment({"MLOPS_HOME": str(home), "MLOPS_DATABASE_URL": url, "COLUMNS": "200"})
    return subprocess.run(
        [str(MLOPS), "token", *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_commands_issue_show_and_revoke(
    database: Database, postgres_url: str, known: KnownTokens, tmp_path: Path
) -> None:
    made = mlops(postgres_url, tmp_path, "create", "--role", "editor", "--name", "ci", "--days", "30")
    assert made.returncode == 0, made.stderr
    token = made.stdout.strip()
    caller = known.caller(token)
    assert caller is not None
    assert (caller.name, caller.role) == ("ci", Role.EDITOR)
    again = mlops(postgres_url, tmp_path, "create", "--role", "viewer", "--name", "ci")
    assert (again.returncode, "Traceback" in again.stderr) == (1, False)
    assert "'ci' is active" in again.stderr
    shown = mlops(postgres_url, tmp_path, "list").stdout
    assert all(word in shown for word in ("ci", "editor", "active", caller.id))
    assert token.split("_", 2)[2] not in shown
    assert mlops(postgres_url, tmp_path, "revoke", "ci").returncode == 0
    assert "revoked" in mlops(postgres_url, tmp_path, "list").stdout.splitlines()[1]
    with database.session() as session:
        found = session.get(ApiToken, caller.id)
        assert found is not None
        assert found.revoked_at is not None


def test_without_a_database_a_command_says_so_in_one_line(tmp_path: Path) -> None:
    done = mlops("postgresql+psycopg2://nobody:hunter2@127.0.0.1:1/none", tmp_path, "list")
    assert done.returncode == 1
    assert "mlops up" in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr
