"""Run by Alembic, in the transaction that `server.storage.database` opened."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], render_as_batch=True)
context.run_migrations()
