from __future__ import annotations

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError

from server.storage.bulk import insert_rows, update_rows
from server.storage.schema import audit

COLUMNS = ("entry_key", "time_us", "actor", "role", "what", "subject", "outcome")


def test_any_number_of_rows_is_stored_as_given(engine: Engine) -> None:
    rows = [(number, -number, "ann", "operator", "tab\t'quote'", "ä", "") for number in range(1, 301)]
    with engine.begin() as connection:
        insert_rows(connection, audit, COLUMNS, rows)
        insert_rows(connection, audit, COLUMNS, [])
        stored = connection.execute(select(audit).order_by(audit.c.entry_key)).all()
    assert [tuple(row) for row in stored] == rows


def test_rows_are_changed_by_their_key_and_others_stay(engine: Engine) -> None:
    rows = [(number, 0, "ann", "operator", "merge", "", "") for number in range(1, 301)]
    with engine.begin() as connection:
        insert_rows(connection, audit, COLUMNS, rows)
        update_rows(connection, audit, ("entry_key", "time_us", "actor"), [(key, -key, "bob") for key in range(2, 299)])
        update_rows(connection, audit, ("entry_key", "time_us"), [])
        stored = connection.execute(select(audit.c.time_us, audit.c.actor).order_by(audit.c.entry_key)).all()
    assert [tuple(row) for row in stored] == [(-key, "bob") if 2 <= key < 299 else (0, "ann") for key in range(1, 301)]


def test_a_row_that_is_there_already_fails_like_any_insert(engine: Engine) -> None:
    row = (1, 1, "ann", "operator", "merge", "x", "done")
    with pytest.raises(SQLAlchemyError, match=r"(?i)unique constraint"), engine.begin() as connection:
        insert_rows(connection, audit, COLUMNS, [row, row])
    with engine.connect() as connection:
        assert connection.execute(select(audit)).all() == []
