"""How this process was started: alone, or as one of the ranks of torchrun. No torch unless there are several."""

import os
import signal
import threading
import time
from contextlib import suppress
from datetime import timedelta
from functools import cache
from itertools import count
from typing import TYPE_CHECKING

from gantool.files import write_whole
from gantool.lock import locked
from gantool.paths import cache_dir

if TYPE_CHECKING:
    from torch.distributed import Store  # pyright: ignore[reportPrivateImportUsage]

_starts = count()  # commands of this process: a script may run several
_LISTENS = 1.0  # seconds between two looks at torchrun


def is_first_rank() -> bool:
    """True in every process but those that torchrun started as rank 1 and up."""
    return _by_torchrun("RANK", 0) == 0


def local_rank() -> int:
    """This process's number on its machine."""
    return _by_torchrun("LOCAL_RANK", 0)


def local_processes() -> int:
    """How many processes torchrun started on this machine; 1 for one that is alone."""
    return _by_torchrun("LOCAL_WORLD_SIZE", 1)


def processes() -> int:
    """How many processes torchrun started, whether or not they have found each other; 1 for one that is alone."""
    return _by_torchrun("WORLD_SIZE", 1)


def _by_torchrun(name: str, alone: int) -> int:
    """`name` where torchrun set it: other starters set some of the same, but nothing that ranks could meet by."""
    return int(os.environ.get(name, alone)) if "TORCHELASTIC_RUN_ID" in os.environ else alone


@cache
def meeting() -> "Store | None":
    """Where the processes that torchrun started find each other; None for one that is alone."""
    if processes() == 1:
        return None
    from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]

    hosts = is_first_rank() and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    where = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    threading.Thread(target=_follow_torchrun, args=(os.getppid(),), daemon=True).start()
    return TCPStore(*where, is_master=hosts, wait_for_workers=False)


def attempt() -> str:
    """How often torchrun has started the ranks before: what they left in the store then is no longer true."""
    return os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")


def agree_on_start(*, claim: bool = False) -> float:
    """The time (seconds since 1970) that names run folders: the first rank's, for all ranks that torchrun started, and
    for those that it starts again, which so go on in the same folder. With `claim` it is a second that no other start
    has, so that no two runs share a folder."""
    now = _claimed(time.time()) if claim and is_first_rank() else time.time()
    store = meeting()
    if store is None:
        return now
    key = f"gantool/started/{next(_starts)}"
    return float(store.compare_set(key, "", repr(now)) if is_first_rank() else store.get(key))


def first_failure(job: str, text: str, *, patience: float) -> tuple[bool, str]:
    """Whether this rank is the first to fail at `job`, and what the first one failed of: so that one rank tells. Others
    have `patience` seconds to fail before."""
    store = meeting()
    if store is None:
        return True, text
    key, own = f"gantool/failed/{attempt()}/{job}", text if is_first_rank() else f"rank {os.environ['RANK']}: {text}"
    try:
        with suppress(Exception):  # none has failed
            store.wait([key], timedelta(seconds=patience or 0.01))
        first = store.compare_set(key, "", own)
    except Exception:  # torchrun is gone, and the store with it
        return True, own
    found = first.decode(errors="replace") if isinstance(first, bytes) else str(first)
    return found == own, found


def _follow_torchrun(parent: int) -> None:
    """Stops this rank as SIGTERM does once torchrun is gone, which leaves its ranks behind at signals unknown to it."""
    while os.getppid() == parent:
        time.sleep(_LISTENS)
    os.kill(os.getpid(), signal.SIGTERM)


def _claimed(now: float) -> float:
    """`now`, or the first second after those that others of this user have taken."""
    path = cache_dir() / "last_start"
    try:
        with locked(path.with_suffix(".lock")):
            last = 0.0
            with suppress(OSError, ValueError):  # none was taken, or a process was killed as it wrote
                last = float(path.read_text())
            now = max(now, last + 1) if last < now + 60 else now  # a clock may have been wrong
            write_whole(path, repr(float(int(now))))
    except OSError:
        pass
    return now
