"""How this process was started: alone, or as one of the ranks of torchrun. No torch unless there are several."""

import os
import time


def is_first_rank() -> bool:
    """True in every process but those that torchrun started as rank 1 and up."""
    return os.environ.get("RANK", "0") == "0"


def agree_on_start() -> float:
    """The time (seconds since 1970) that names run folders: the first rank's, for all ranks that torchrun started."""
    now = time.time()
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return now
    from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]

    store = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
    key = "gantool/started/" + os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    if is_first_rank():
        store.set(key, repr(now))
        return now
    return float(store.get(key))
