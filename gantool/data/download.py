"""Downloads into the user's data folder: one process at a time, and one clear line when they fail."""

import hashlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from threading import Thread
from urllib.request import Request, urlopen

from gantool.errors import GantoolError, said
from gantool.lock import locked
from gantool.paths import cache_dir

TIMEOUT = 20  # seconds without an answer; without it a silent firewall holds a run for minutes


@contextmanager
def downloading(name: str, folder: Path, by_hand: str) -> Iterator[None]:
    """Hold the download lock of `folder`, where the files are to lie, and turn every failure inside into one
    GantoolError; folders that were made for nothing are removed again.

    `by_hand` says what the user can do instead.
    """
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    place = hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(cache_dir() / "downloads" / f"{name}-{place}.lock"):
            yield
    except Exception as error:  # URLError, RuntimeError for a wrong checksum, HTTPException, gdown's own, ...
        for one in made:
            with suppress(OSError):
                one.rmdir()
        raise GantoolError(f"downloading {name} to {folder} failed ({said(error)}): {by_hand}") from error
    finally:
        socket.setdefaulttimeout(before)


def answers(url: str, seconds: float = 3) -> bool:
    """True where `url` can be read, as far as that shows in so many seconds."""
    heard: list[bool] = []

    def ask() -> None:
        with suppress(OSError, HTTPException), urlopen(Request(url, method="HEAD"), timeout=seconds):
            heard.append(True)

    thread = Thread(target=ask, daemon=True)  # the look-up of a name has no time limit of its own
    thread.start()
    thread.join(seconds)
    return bool(heard)
