"""Numbered changes of the schema, run by Alembic at every start."""
