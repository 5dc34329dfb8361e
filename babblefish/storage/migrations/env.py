"""Run by Alembic for each migration, on the connection that ``database.py`` hands it.

Everything happens in that connection's transaction: a migration that is interrupted never was.
"""

from alembic import context

from babblefish.storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata,
    render_as_batch=True, transactional_ddl=True, compare_type=True,
)  # fmt: skip
with context.begin_transaction():
    context.run_migrations()
