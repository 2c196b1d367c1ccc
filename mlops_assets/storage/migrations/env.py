"""How Alembic runs here: always inside the connection and transaction that `Database.migrate` hands over."""

from alembic import context

from mlops_assets.storage import revisions
from mlops_assets.storage.database import SCHEMA, Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=revisions.TABLE,
    version_table_schema=SCHEMA,
    include_schemas=True,
    transactional_ddl=True,
)
context.run_migrations()
