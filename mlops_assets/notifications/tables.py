"""The notifications' own tables: what is to be told, to whom, and what has been read of the sources so far.

Add a column here and in a migration. Keep out reading and writing (`outbox`, `collect`, `telling`, `deliver`).
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

from mlops_assets.storage.database import SCHEMA

METADATA = MetaData(schema=SCHEMA)
MOMENT = DateTime(timezone=True)

# Every fact, in the order it was noted. `outcome` is null until it is decided: told, counted or summary.
NOTICE = Table(
    "notice",
    METADATA,
    Column("id", Integer, Identity(), primary_key=True),
    Column("kind", String, nullable=False),
    Column("product", String),
    Column("subject", String, nullable=False),
    Column("severity", String, nullable=False),
    Column("title", String, nullable=False),
    Column("body", String, nullable=False),
    Column("link", String),
    Column("key", String, nullable=False, unique=True),
    Column("group", String, nullable=False),
    Column("at", MOMENT, nullable=False),
    Column("noted_at", MOMENT, nullable=False),
    Column("outcome", String),
)

# Groups in their cooldown (`grouping.Group`).
GROUP = Table(
    "notice_group",
    METADATA,
    Column("name", String, primary_key=True),
    Column("since", MOMENT, nullable=False),
    Column("until", MOMENT, nullable=False),
    Column("severity", String, nullable=False),
    Column("last_id", Integer, ForeignKey(NOTICE.c.id), nullable=False),
    Column("last_at", MOMENT, nullable=False),
    Column("counted", Integer, nullable=False),
)

# One notice for one channel. `state`: waiting, sent, given_up. `message` numbers what was sent as one.
DELIVERY = Table(
    "notice_delivery",
    METADATA,
    Column("id", Integer, Identity(), primary_key=True),
    Column("notice_id", Integer, ForeignKey(NOTICE.c.id), nullable=False),
    Column("channel", String, nullable=False),
    Column("state", String, nullable=False),
    Column("created_at", MOMENT, nullable=False),
    Column("settled_at", MOMENT),
    Column("message", String),
    UniqueConstraint("notice_id", "channel"),
)

# How a channel does. `busy_until`: somebody sends to it until then at most.
CHANNEL = Table(
    "notice_channel",
    METADATA,
    Column("name", String, primary_key=True),
    Column("tries", Integer, nullable=False),
    Column("failing_since", MOMENT),
    Column("next_try", MOMENT),
    Column("last_error", String),
    Column("last_sent", MOMENT),
    Column("busy_until", MOMENT),
)

# How far a source has been read; `position` is the source's own.
CURSOR = Table(
    "notice_cursor",
    METADATA,
    Column("source", String, primary_key=True),
    Column("position", String, nullable=False),
)

# What is known of a service that is asked whether it is well (`probes.Health`).
PROBE = Table(
    "service_probe",
    METADATA,
    Column("name", String, primary_key=True),
    Column("healthy", Boolean, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("successes", Integer, nullable=False),
    Column("down_since", MOMENT),
    Column("asked_at", MOMENT, nullable=False),
)
