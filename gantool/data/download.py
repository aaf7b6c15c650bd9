"""Downloads into the user's data folder: one process at a time, and one clear line when they fail."""

import hashlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gantool.errors import GantoolError
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
        with locked(cache_dir() / "downloads" / f"{name}-{place}.lock"):
            yield
    except Exception as error:  # URLError, RuntimeError for a wrong checksum, HTTPException, gdown's own, ...
        for one in made:
            with suppress(OSError):
                one.rmdir()
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise GantoolError(f"downloading {name} to {folder} failed ({reason}): {by_hand}") from error
    finally:
        socket.setdefaulttimeout(before)
