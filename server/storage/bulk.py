"""Many rows in few statements: what a step of ingestion mostly consists of.

A database driver gives up the interpreter's lock once for each execution of a statement. With one execution a row, a
writer's thread would wait for the event loop after every row; with hundreds of rows a statement it does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import lru_cache
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Row, Table
from sqlalchemy.exc import DBAPIError

_COPY_TYPES = {int: "int8", float: "float8", bytes: "bytea", str: "text", bool: "bool"}
_ROWS_PER_STATEMENT = 128
"""Times the columns of the widest table well below SQLite's limit of 32766 values."""


def insert_rows(connection: Connection, table: Table, columns: tuple[str, ...], rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows given as sequences in the order of `columns`; values must be what the driver itself takes.

    Raises:
        SQLAlchemyError: As of any insert.
    """
    if rows and connection.dialect.name == "postgresql":
        _copy_rows(connection, table, columns, rows)
        return
    for first in range(0, len(rows), _ROWS_PER_STATEMENT):
        part = rows[first : first + _ROWS_PER_STATEMENT]
        statement = _insert(table.name, columns, len(part), connection.dialect.paramstyle == "qmark")
        connection.exec_driver_sql(statement, tuple(chain.from_iterable(part)))


def update_rows(connection: Connection, table: Table, columns: tuple[str, ...], rows: Sequence[Sequence[Any]]) -> None:
    """Change rows of a table; the first of `columns` is its key, the others are what changes.

    Raises:
        SQLAlchemyError: As of any update.
    """
    for first in range(0, len(rows), _ROWS_PER_STATEMENT):
        part = rows[first : first + _ROWS_PER_STATEMENT]
        statement = _update(table.name, columns, len(part), connection.dialect.paramstyle == "qmark")
        connection.exec_driver_sql(statement, tuple(chain.from_iterable(part)))


def find_rows(
    connection: Connection, table: Table, columns: tuple[str, ...], wanted: Sequence[Sequence[Any]]
) -> Iterator[Row[Any]]:
    """Rows whose `columns` have some of the wanted values, together; an index over these columns finds them.

    Values come as the driver gives them: of SQLite, truth values as 0 and 1.

    Raises:
        SQLAlchemyError: As of any select.
    """
    for first in range(0, len(wanted), _ROWS_PER_STATEMENT):
        part = wanted[first : first + _ROWS_PER_STATEMENT]
        statement = _select(table.name, columns, len(part), connection.dialect.paramstyle == "qmark")
        yield from connection.exec_driver_sql(statement, tuple(chain.from_iterable(part)))


def _copy_rows(connection: Connection, table: Table, columns: tuple[str, ...], rows: Sequence[Sequence[Any]]) -> None:
    """As `insert_rows`, with PostgreSQL's COPY: 4096 observations take a quarter of the time of INSERT."""
    statement = f"COPY {table.name} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)"
    cursor: Any = connection.connection.cursor()
    try:
        with closing(cursor), cursor.copy(statement) as copy:
            copy.set_types([_COPY_TYPES[table.c[name].type.python_type] for name in columns])
            for row in rows:
                copy.write_row(row)
    except connection.dialect.loaded_dbapi.Error as error:  # not through SQLAlchemy, which would have wrapped it
        raise DBAPIError(statement, None, error) from error


@lru_cache(maxsize=4 * _ROWS_PER_STATEMENT)
def _insert(table: str, columns: tuple[str, ...], num_rows: int, is_qmark: bool) -> str:
    """`INSERT INTO table (columns) VALUES` with one placeholder a value, as the driver writes it."""
    return f"INSERT INTO {table} ({', '.join(columns)}) {_values(len(columns), num_rows, is_qmark)}"


@lru_cache(maxsize=4 * _ROWS_PER_STATEMENT)
def _update(table: str, columns: tuple[str, ...], num_rows: int, is_qmark: bool) -> str:
    """`UPDATE table SET … FROM (VALUES …)`; SQLite and PostgreSQL both call the columns of VALUES column1 and so on."""
    changes = ", ".join(f"{name} = new.column{number}" for number, name in enumerate(columns[1:], start=2))
    values = _values(len(columns), num_rows, is_qmark)
    return f"UPDATE {table} SET {changes} FROM ({values}) AS new WHERE {table}.{columns[0]} = new.column1"


@lru_cache(maxsize=4 * _ROWS_PER_STATEMENT)
def _select(table: str, columns: tuple[str, ...], num_rows: int, is_qmark: bool) -> str:
    """`SELECT … FROM (VALUES …)`: for a list of pairs after IN, SQLite would scan the whole table."""
    both = " AND ".join(f"{table}.{name} = wanted.column{number}" for number, name in enumerate(columns, start=1))
    return f"SELECT {table}.* FROM ({_values(len(columns), num_rows, is_qmark)}) AS wanted, {table} WHERE {both}"


def _values(num_columns: int, num_rows: int, is_qmark: bool) -> str:
    row = f"({', '.join(['?' if is_qmark else '%s'] * num_columns)})"
    return f"VALUES {', '.join([row] * num_rows)}"
