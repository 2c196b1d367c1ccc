"""The tables of who may use the control API, what was done, and which requests were answered already.

Add a column here and in a migration. Keep out reading and writing (`access`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CHAR, BigInteger, Identity, Index
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from mlops_assets.storage.database import NOW, Base


class ApiToken(Base):
    """One issued token: a hash of its secret, never the secret. A name is free again when its token is revoked."""

    __tablename__ = "api_token"
    __table_args__ = (
        Index("api_token_active_name_idx", "name", unique=True, postgresql_where=sql("revoked_at IS NULL")),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    role: Mapped[str]
    secret_sha256: Mapped[str] = mapped_column(CHAR(64))
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class AuditEntry(Base):
    """One act: who did what to which object, and what came of it. Only ever appended."""

    __tablename__ = "audit"
    __table_args__ = (
        Index("audit_who_idx", "who", "id"),
        Index("audit_object_idx", "object", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=NOW)
    caller: Mapped[str]
    who: Mapped[str]
    role: Mapped[str]
    kind: Mapped[str]
    action: Mapped[str]
    object: Mapped[str]
    outcome: Mapped[str]
    request_id: Mapped[str | None]
    details: Mapped[dict[str, Any]]


class AnsweredRequest(Base):
    """The answer to a request that came with an idempotency key. `id` is a hash of caller, route and key."""

    __tablename__ = "answered_request"
    __table_args__ = (Index("answered_request_created_idx", "created_at"),)

    id: Mapped[str] = mapped_column(CHAR(64), primary_key=True)
    caller: Mapped[str]
    route: Mapped[str]
    key: Mapped[str]
    request_sha256: Mapped[str] = mapped_column(CHAR(64))
    status: Mapped[int]
    body: Mapped[str]
    headers: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
