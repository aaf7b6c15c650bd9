"""Where a study lies: in a journal in the sweep's folder, or in a data base for machines that share no disk."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote
from zlib import crc32

from omegaconf import OmegaConf

from gantool.config.composed import read_saved
from gantool.errors import GantoolError, first_line, require
from gantool.folder import is_run
from gantool.lock import locked

if TYPE_CHECKING:
    from optuna.storages import BaseStorage, RDBStorage
    from sqlalchemy import Engine

JOURNAL, LOCK = "study.journal", ".study.lock"
SQLITE = "sqlite:///"
_PATIENCE = "5"  # seconds, for a server that does not answer


def storage_of(folder: Path, url: str | None, *, look: bool = False) -> "BaseStorage":
    """Of the study of the sweep in `folder`: its journal, or the data base at `url`, whose file is left as it is by one
    who is only to `look`. Raises GantoolError without the server's driver, and what Optuna and SQLAlchemy do."""
    from optuna.storages import JournalStorage, get_storage
    from optuna.storages.journal import JournalFileBackend

    if url is None:
        return JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
    if look and not _is_server(url):
        url = f"sqlite:///file:{quote(url.removeprefix(SQLITE))}?mode=ro&uri=true"
    return get_storage(_server(url) if _is_server(url) else url)


def address_in(jobs: Sequence[Path], *, trusted: bool) -> str | None:
    """study.storage as the trials in the folders `jobs` have it; None where they have none. Raises GantoolError for a
    server unless it is `trusted`: whoever made the folders would be given this user's password."""
    begun = [job for job in jobs if is_run(job)]
    try:
        config = OmegaConf.to_container(read_saved(begun[0])) if begun else None
    except GantoolError:  # that it is damaged is told elsewhere
        return None
    study = config.get("study") if isinstance(config, dict) else None
    url = study.get("storage") if isinstance(study, dict) else None
    if not isinstance(url, str) or not (url.startswith(SQLITE) or _is_server(url)):
        return None
    if _is_server(url) and not trusted:
        raise GantoolError(f"they are in {url}: trust=true connects to it, with PGPASSWORD or ~/.pgpass for a password")
    return url


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
    reason = first_line(getattr(cause, "orig", cause))
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
