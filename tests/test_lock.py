"""Locks between processes, and who asks for them."""

import os
import tempfile
from pathlib import Path
from threading import Event, Thread
from time import sleep

from gantool.lock import is_held, locked


def test_who_asks_keeps_nobody_out(tmp_path: Path) -> None:
    path, over = tmp_path / "run" / ".lock", Event()

    def refuse() -> None:
        raise AssertionError("nobody else trains here")

    with locked(path):
        assert is_held(path)

    def ask() -> None:
        while not over.is_set():
            is_held(path)
            sleep(0.001)  # three threads without a pause keep a shared lock for seconds

    asking = [Thread(target=ask) for _ in range(3)]
    for thread in asking:
        thread.start()
    try:
        for _ in range(200):
            with locked(path, on_wait=refuse):
                pass
    finally:
        over.set()
        for thread in asking:
            thread.join()
    assert not is_held(path)


def test_a_lock_that_may_only_be_read_is_seen() -> None:
    """As that of somebody else's run."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ".lock"
        os.chmod(folder, 0o755)
        for held in (True, False):
            with locked(path if held else Path(folder) / "other"):
                path.chmod(0o444)
                if (child := os.fork()) == 0:
                    try:
                        if os.geteuid() == 0:  # who may write everywhere
                            os.setuid(65534)
                        os._exit(is_held(path))
                    finally:
                        os._exit(2)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == held
            path.chmod(0o644)
