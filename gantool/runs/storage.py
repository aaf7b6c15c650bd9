"""Where a study lies: in a journal in the sweep's folder, or in a data base for machines that share no disk."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

from gantool.errors import GantoolError, require
from gantool.lock import locked

if TYPE_CHECKING:
    from optuna.storages import BaseStorage, RDBStorage
    from sqlalchemy import Engine

JOURNAL, LOCK = "study.journal", ".study.lock"
_PATIENCE = "5"  # seconds, for a server that does not answer


def storage_of(folder: Path, url: str | None) -> "BaseStorage":
    """Of the study of the sweep in `folder`: its journal, or the data base at `url`. Raises GantoolError without the
    server's driver, and what Optuna and SQLAlchemy do."""
    from optuna.storages import JournalStorage, get_storage
    from optuna.storages.journal import JournalFileBackend

    if url is None:
        return JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
    return get_storage(_server(url) if _is_server(url) else url)


@contextmanager
def alone(folder: Path, url: str | None) -> Iterator[None]:
    """Inside, no other process that works on the study does so too, on this disk or through the server at `url`."""
    with locked(folder / LOCK), ExitStack() as held:
        if url is not None and _is_server(url):
            held.enter_context(_alone_on(_server(url).engine, folder.name))
        yield


@contextmanager
def reached(folder: Path, url: str | None) -> Iterator[None]:
    """What a data base refuses inside becomes a GantoolError of one line."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        raise refused(folder, url, error) from error


def refused(folder: Path, url: str | None, error: Exception) -> GantoolError:
    """One line of why the study cannot be had."""
    where = f"study.storage={url}" if url else str(folder / JOURNAL)
    cause = error.__cause__ or error  # Optuna's own words tell nothing of it
    reason = next(iter(str(getattr(cause, "orig", cause)).splitlines()), "") or type(error).__name__
    password = "; a password is taken from PGPASSWORD or ~/.pgpass" if "password" in reason else ""
    return GantoolError(f"{where}: the study cannot be opened ({reason}){password}")


def _is_server(url: str) -> bool:
    return url.startswith("postgres")


@cache  # a trial asks many times, and a server takes some hundred connections in all
def _server(url: str) -> "RDBStorage":
    """The tables of Optuna on a server, made where there are none."""
    require("study", "psycopg", what=f"study.storage={url}")
    from optuna.storages import RDBStorage
    from sqlalchemy import create_engine, make_url

    asked = make_url(url)
    place = asked.set(drivername="postgresql+psycopg", query={"connect_timeout": _PATIENCE, **asked.query})
    engine = create_engine(place)
    with _alone_on(engine, "tables"):  # two that make them at once fail
        storage = RDBStorage(place.render_as_string(hide_password=False), {"pool_pre_ping": True})
    engine.dispose()
    return storage


@contextmanager
def _alone_on(engine: "Engine", what: str) -> Iterator[None]:
    from sqlalchemy import text

    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": crc32(what.encode())})
        yield
