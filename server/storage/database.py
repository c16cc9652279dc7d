"""Opening a database: pragmas, migrations, and the lock that keeps a second server out. All SQLite-only SQL is here."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from contextlib import closing
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


class StorageSettings(Settings):
    """Where the records lie."""

    url: str = "sqlite:///{data}/records.db"
    """SQLAlchemy URL; `{data}` stands for the server's data folder."""
    busy_timeout_s: float = Field(default=5.0, ge=0)
    """SQLite: how long to wait for a lock before a commit fails."""


def open_database(settings: StorageSettings, *, data: Path) -> Engine:
    """Connect, and bring the schema up to date.

    Args:
        settings: Where the records lie.
        data: The server's data folder, which exists.

    Raises:
        StorageError: The URL is wrong, the file is no database, or a newer server made it.
    """
    try:
        url = make_url(settings.url)
        # Not put into the text before it is parsed: a folder's name may hold what a URL takes for its own signs.
        engine = create_engine(url.set(database=(url.database or "").replace("{data}", str(data)) or None))
    except (ArgumentError, ImportError) as error:
        raise StorageError(f"storage.url {settings.url!r} cannot be used: {error}") from None
    if engine.dialect.name == "sqlite":
        _set_up_sqlite(engine, busy_timeout_s=settings.busy_timeout_s)
    try:
        _migrate(engine)
    except SQLAlchemyError as error:
        engine.dispose()
        raise StorageError(f"records at {engine.url} cannot be opened: {_cause(error)}") from None
    except BaseException:
        engine.dispose()
        raise
    return engine


def lock_folder(data: Path) -> IO[bytes]:
    """Make this process the only owner of a data folder, until the returned file is closed or the process ends.

    Raises:
        StorageError: Another server owns it, or it cannot be written.
    """
    try:
        data.mkdir(parents=True, exist_ok=True)
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


def _set_up_sqlite(engine: Engine, *, busy_timeout_s: float) -> None:
    def configure(connection: Any, _record: Any) -> None:
        with closing(connection.cursor()) as cursor:
            cursor.execute(f"PRAGMA busy_timeout={int(busy_timeout_s * 1000)}")
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=FULL")  # acknowledged means: survives a power cut
            cursor.execute("PRAGMA foreign_keys=ON")
            cursor.execute("PRAGMA cache_size=-65536")

    event.listen(engine, "connect", configure)


def _migrate(engine: Engine) -> None:
    config = alembic.config.Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
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
