"""Issued tokens in the database: made once, listed, revoked, looked up by id.

A token reads `mlops_<id>_<secret>`. Add here what is stored of tokens. Keep out how a running API remembers them
(`known`) and what a caller may do (`roles`).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mlops_assets.access import audit
from mlops_assets.access.roles import AccessError, Caller, Role
from mlops_assets.storage.access_tables import ApiToken
from mlops_assets.storage.database import Database

SECRET_BYTES = 32
LONGEST_DAYS = 3650
# The name that the installation's own token goes by in the audit.
RESERVED_NAMES = frozenset({"operator"})
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,62}")
ID = re.compile(r"[0-9a-f]{16}")
_TOKEN = re.compile(rf"mlops_({ID.pattern})_([A-Za-z0-9_-]{{43}})")


def parse(given: str) -> tuple[str, str] | None:
    """Id and secret of what looks like an issued token, else None."""
    found = _TOKEN.fullmatch(given)
    return (found[1], found[2]) if found else None


def digest(secret: str) -> str:
    """What is stored of a secret."""
    # A slow hash protects what people choose. 256 random bits can't be guessed, however fast the hash, and this one
    # is paid by every request.
    return sha256(secret.encode()).hexdigest()


def create(database: Database, by: Caller, name: str, role: Role, days: int | None = None) -> str:
    """Issue a token and return it, the only time that it is seen. Without `days` it is valid until it is revoked.

    Raises:
        AccessError: the name can't be used or an active token has it, or `days` isn't from 1 to 3650.
    """
    _check(name, days)
    token_id, secret, now = secrets.token_hex(8), secrets.token_urlsafe(SECRET_BYTES), datetime.now(UTC)
    expires = None if days is None else now + timedelta(days)
    try:
        with database.session() as session, session.begin():
            _release_expired(session, name, now)
            session.add(ApiToken(id=token_id, name=name, role=role, secret_sha256=digest(secret), expires_at=expires))
            session.flush()
            details = {"id": token_id, "role": role, "days": days}
            audit.add(session, audit.Act(by, "token.create", name, details=details))
    except IntegrityError:
        raise AccessError(f"name: a token {name!r} is active already; revoke it or choose another name") from None
    return f"mlops_{token_id}_{secret}"


def _check(name: str, days: int | None) -> None:
    if not NAME.fullmatch(name):
        raise AccessError("name: 1 to 63 letters, digits and . _ @ -, beginning with a letter or a digit")
    if name in RESERVED_NAMES or ID.fullmatch(name):
        raise AccessError(f"name: {name!r} could be taken for another token; choose another one")
    if days is not None and not 1 <= days <= LONGEST_DAYS:
        raise AccessError(f"days: from 1 to {LONGEST_DAYS}")


def _release_expired(session: Session, name: str, now: datetime) -> None:
    """Revoke a token that has expired, so that its name is free."""
    expired = ApiToken.name == name, ApiToken.revoked_at.is_(None), ApiToken.expires_at <= now
    session.execute(update(ApiToken).where(*expired).values(revoked_at=ApiToken.expires_at))


def listed(database: Database) -> Sequence[ApiToken]:
    """Every token that was ever issued, the newest first."""
    with database.session() as session:
        return session.scalars(select(ApiToken).order_by(ApiToken.created_at.desc(), ApiToken.id)).all()


def revoke(database: Database, by: Caller, name_or_id: str) -> ApiToken:
    """End a token by its id, or by the name of an active one.

    Raises:
        AccessError: there is no such token, or it is revoked already.
    """
    with database.session() as session, session.begin():
        column = ApiToken.id if ID.fullmatch(name_or_id) else ApiToken.name
        found = session.scalars(
            select(ApiToken)
            .where(column == name_or_id)
            .order_by(ApiToken.revoked_at.desc().nulls_first())
            .limit(1)
            .with_for_update()
        ).first()
        if found is None:
            raise AccessError(f"there is no token {name_or_id!r}")
        if found.revoked_at is not None:
            raise AccessError(f"token {name_or_id!r} is revoked already, since {found.revoked_at:%Y-%m-%d %H:%M} UTC")
        found.revoked_at = datetime.now(UTC)
        audit.add(session, audit.Act(by, "token.revoke", found.name, details={"id": found.id}))
        return found


def read(database: Database, token_id: str) -> ApiToken | None:
    """The row of a token, revoked and expired ones too."""
    with database.session() as session:
        return session.get(ApiToken, token_id)


def mark_used(database: Database, token_id: str) -> None:
    """Note that a token is used now."""
    with database.session() as session, session.begin():
        session.execute(update(ApiToken).where(ApiToken.id == token_id).values(last_used_at=datetime.now(UTC)))
