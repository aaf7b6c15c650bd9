"""A lock between processes that cannot be left behind: the system drops it when its holder ends, however it ends."""

import errno
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

if sys.platform != "win32":
    import fcntl


@contextmanager
def locked(path: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Holds an exclusive lock on the file `path`, made if needed.

    `on_wait` is called if another process has it; unless it raises, the lock is waited for.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0.2, poll_interval=0.01)  # who only asks (is_held) has it for a moment
    except Timeout:
        on_wait()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def is_held(path: Path) -> bool:
    """Whether a process holds the lock on the file `path`. No lock of gantool's is a link, and asking would open what
    it leads to."""
    if path.is_symlink() or not path.is_file():
        return False
    if sys.platform != "win32":  # FileLock would write, which somebody else's folder does not allow; some disks need it
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.ENOTSUP):
                return False
        else:
            return False
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False
