"""How this process was started: alone, or as one of the ranks of torchrun. No torch unless there are several."""

import os
import time

from gantool.lock import locked
from gantool.paths import cache_dir


def is_first_rank() -> bool:
    """True in every process but those that torchrun started as rank 1 and up."""
    return os.environ.get("RANK", "0") == "0"


def agree_on_start(*, claim: bool = False) -> float:
    """The time (seconds since 1970) that names run folders: the first rank's, for all ranks that torchrun started. With
    `claim` it is a second that no other start has, so that no two runs share a folder."""
    now = _claimed(time.time()) if claim and is_first_rank() else time.time()
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return now
    from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]

    store = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
    key = "gantool/started/" + os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    if is_first_rank():
        store.set(key, repr(now))
        return now
    return float(store.get(key))


def _claimed(now: float) -> float:
    """`now`, or the first second after those that others of this user have taken."""
    path = cache_dir() / "last_start"
    try:
        with locked(path.with_suffix(".lock")):
            last = float(path.read_text()) if path.exists() else 0.0
            now = max(now, last + 1) if last < now + 60 else now  # a clock may have been wrong
            path.write_text(repr(float(int(now))))
    except (OSError, ValueError):
        pass
    return now
