"""Opening a database: settings of connections, migrations, and the lock of the data folder.

SQL of one kind of database only is here, and in `backup.py`.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import wraps
from pathlib import Path
from typing import IO, Any, ParamSpec, TypeVar

import alembic.command
import alembic.config
import structlog
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from pydantic import Field
from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from reid.settings import Settings
from server.errors import StorageError

logger = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_MIGRATIONS = Path(__file__).parent / "migrations"
_SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",  # acknowledged means: survives a power cut
    "PRAGMA foreign_keys=ON",
    "PRAGMA secure_delete=ON",  # erased means: not to be found in the file either
    "PRAGMA cache_size=-65536",
)


class StorageSettings(Settings):
    """Where the records lie."""

    url: str = "sqlite:///{data}/records.db"
    """SQLAlchemy URL; `{data}` stands for the server's data folder. PostgreSQL: `postgresql://USER:PASSWORD@HOST/NAME`."""
    busy_timeout_s: float = Field(default=5.0, ge=0)
    """How long to wait for a lock before a commit fails."""
    lease_s: float = Field(default=10.0, ge=1)
    """After so long without a sign of life, the records of a server may be taken over by another."""


def open_database(settings: StorageSettings, *, data: Path) -> Engine:
    """Connect, and bring the schema up to date.

    Args:
        settings: Where the records lie.
        data: The server's data folder, which exists.

    Raises:
        StorageError: The URL is wrong, the file is no database, or a newer server made it.
    """
    engine = _connect(settings, data=data)
    with _closed_on_error(engine):
        _migrate(engine)
    return engine


def read_database(settings: StorageSettings, *, data: Path) -> Engine:
    """Connect to records that a server may be using, only to read, and change nothing, not even their schema.

    Raises:
        StorageError: There are none, or their schema is not that of this server.
    """
    engine = _connect(settings, data=data)
    with _closed_on_error(engine):
        if (path := sqlite_path(engine)) is not None:
            if not path.is_file():
                raise StorageError(f"there are no records at {path}: name the server's data folder")
            _on_connect(engine, "PRAGMA query_only=ON")
        with engine.connect() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
        if current != (head := _scripts().get_current_head()):
            raise StorageError(
                f"records at {engine.url} have schema version {current or 'none'}, this program reads {head}: "
                "start this version of the server on them once, or use the version that made them"
            )
    return engine


def known_versions() -> list[str]:
    """The schema versions that this server can open, oldest first."""
    return sorted(script.revision for script in _scripts().walk_revisions())


def sqlite_path(engine: Engine) -> Path | None:
    """The file of an SQLite database; None for any other."""
    if engine.dialect.name != "sqlite" or not engine.url.database:
        return None
    return Path(engine.url.database)


def scrub(engine: Engine) -> None:
    """Take what was deleted out of SQLite's log too; if readers are in the way, a later checkpoint does it."""
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def lock_folder(data: Path) -> IO[bytes]:
    """Make this process the only owner of a data folder, until the returned file is closed or the process ends.

    Raises:
        StorageError: Another server owns it, or it cannot be written.
    """
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)  # who was where is nobody else's business
        file = (data / "server.lock").open("ab")
    except OSError as error:
        raise StorageError(f"data folder {data} cannot be used: {error.strerror}") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise StorageError(f"data folder {data} is in use by another osprey-server: stop it, or use another") from None
    return file


def explained(method: Callable[P, T]) -> Callable[P, T]:
    """Turn what the database raises in a method into StorageError."""

    @wraps(method)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except SQLAlchemyError as error:
            raise StorageError(f"records: {method.__name__} failed: {_cause(error)}") from error

    return wrapper


def _connect(settings: StorageSettings, *, data: Path) -> Engine:
    """An engine that sets up each of its connections.

    Raises:
        StorageError: The URL is wrong, or names a database without its driver.
    """
    try:
        url = make_url(settings.url)
        if url.drivername == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        # Not put into the text before it is parsed: a folder's name may hold what a URL takes for its own signs.
        engine = create_engine(url.set(database=(url.database or "").replace("{data}", str(data)) or None))
    except (ArgumentError, ImportError, ValueError) as error:
        shown = _without_password(settings.url)
        reason = str(error).replace(settings.url, shown)
        raise StorageError(f"storage.url {shown!r} cannot be used: {reason}") from None
    timeout_ms = int(settings.busy_timeout_s * 1000)
    if engine.dialect.name == "sqlite":
        _on_connect(engine, f"PRAGMA busy_timeout={timeout_ms}", *_SQLITE_PRAGMAS)
    elif engine.dialect.name == "postgresql":
        _on_connect(engine, f"SET lock_timeout TO {timeout_ms}", "SET synchronous_commit TO on")
    return engine


def _on_connect(engine: Engine, *statements: str) -> None:
    """Run statements on each new connection."""

    def configure(connection: Any, _record: Any) -> None:
        with closing(connection.cursor()) as cursor:
            for statement in statements:
                cursor.execute(statement)
        connection.commit()  # else a rollback would take the settings back

    event.listen(engine, "connect", configure)


@contextmanager
def _closed_on_error(engine: Engine) -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        engine.dispose()
        raise StorageError(f"records at {engine.url} cannot be opened: {_cause(error)}") from None
    except BaseException:
        engine.dispose()
        raise


def _without_password(url: str) -> str:
    """A URL as it may be shown, whether it can be parsed or not."""
    start, at, rest = url.rpartition("@")
    return f"{start.partition(':')[0]}:***{at}{rest}" if at else url


def _migration_config() -> alembic.config.Config:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_migration_config())


def _migrate(engine: Engine) -> None:
    config = _migration_config()
    scripts = ScriptDirectory.from_config(config)
    with engine.begin() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
        _check_known(scripts, current, where=str(engine.url))
        if current == scripts.get_current_head():
            return
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, "head")
    logger.info("schema migrated", from_version=current or "none", to_version=scripts.get_current_head())


def _check_known(scripts: ScriptDirectory, current: str | None, *, where: str) -> None:
    if current is None:
        return
    try:
        scripts.get_revision(current)
    except CommandError:
        raise StorageError(
            f"records at {where} have schema version {current}, this server knows up to {scripts.get_current_head()}: "
            "a newer server made them; install that one, or use another data folder"
        ) from None


def _cause(error: SQLAlchemyError) -> str:
    return str(getattr(error, "orig", None) or error)
