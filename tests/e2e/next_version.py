"""The platform's next version, for tests: a copy of this one with what a version brings that others must live with.

One more migration, one more key in the log's lines, which goes to a column of its own, and one more key in the
manifest of a release. A host runs it when PYTHONPATH is its folder. Keep out who runs it, and what comes of it.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from mlops_assets.settings import PROJECT
from mlops_assets.storage import revisions
from mlops_assets.storage.database import MIGRATIONS

PARTS = ("mlops_assets", "inference", "deploy", "dagster_home", "workspace.yaml", "pyproject.toml")
# The new column of `mlops.prediction` and `mlops.ledger`, the new key, and what it says.
COLUMN = "made_by"
SAYS = "the next version"
TABLE = "next_thing"

MIGRATION = f'''"""What the next version needs."""

import sqlalchemy as sa
from alembic import op

revision = "{{revision}}"
down_revision = "{{before}}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("prediction", "ledger"):
        op.add_column(table, sa.Column("{COLUMN}", sa.Text), schema="mlops")
    op.create_table("{TABLE}", sa.Column("id", sa.Integer, primary_key=True), schema="mlops")


def downgrade() -> None:
    op.drop_table("{TABLE}", schema="mlops")
    for table in ("prediction", "ledger"):
        op.drop_column(table, "{COLUMN}", schema="mlops")
'''
# File, what is there once, what comes right behind it.
ADDED = (
    ("inference/record.py", '"sample": sample,', f' "{COLUMN}": "{SAYS}",'),
    ("inference/ship_rows.py", "trace_id text, sample boolean,", f" {COLUMN} text,"),
    ("inference/ship_rows.py", "request_id, trace_id, sample,", f" {COLUMN},"),
    ("inference/ship_rows.py", "coalesce(sample, false),", f" {COLUMN},"),
    ("mlops_assets/training/export.py", '"format": FORMAT,', f' "{COLUMN}": "{SAYS}",'),
)


def revision_of_next() -> str:
    """What its tables are at."""
    return f"{int(revisions.newest()) + 1:04d}"


def make_next_version(folder: Path) -> Path:
    """Make it in `folder`, which isn't there yet; the same folder."""
    told = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *PARTS],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    for name in told.stdout.rstrip("\0").split("\0"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(PROJECT / name, folder / name)
    for name, there, more in ADDED:
        text = (folder / name).read_text()
        assert text.count(there) == 1, f"{name}: {there} is there {text.count(there)} times"
        (folder / name).write_text(text.replace(there, there + more))
    revision = revision_of_next()
    versions = folder / MIGRATIONS.relative_to(PROJECT) / "versions"
    (versions / f"{revision}_next.py").write_text(MIGRATION.format(revision=revision, before=revisions.newest()))
    return folder
