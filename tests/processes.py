"""gantool in a process of its own, to be killed and stopped. It starts at once: it is forked from one that has imported
all that a run needs, which takes seconds."""

import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]

from gantool.cli.main import main

_stores: list[TCPStore] = []  # a rank's end does not end the store: torchrun has it
_forked = multiprocessing.get_context("forkserver")
_forked.set_forkserver_preload(["conftest", "processes", "gantool.runs.start", "torchmetrics.image.inception"])


class Process:
    """`gantool WORDS`, its output in a file; `stdout`: another file for what is no error, "" for none at all; `more`:
    variables of its environment. `run`: what is called with the words in gantool's place."""

    def __init__(
        self,
        words: list[str],
        output: Path,
        stdout: str | None = None,
        more: dict[str, str] | None = None,
        run: Callable[[list[str]], int] = main,
    ) -> None:
        self.output = output
        args = (words, os.getcwd(), output, stdout, {**os.environ, **(more or {})}, run)
        self.process: BaseProcess = _forked.Process(target=_run, args=args)
        self.process.start()

    @property
    def code(self) -> int | None:
        """The exit code, -signal where one killed it, None while it runs."""
        return self.process.exitcode

    def send(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def wait(self, seconds: float = 120) -> str:
        """What it printed, once it has ended."""
        self.process.join(seconds)
        assert self.code is not None, "it goes on and on"
        return self.output.read_text()


def ranks(
    words: list[str],
    output: Path,
    *,
    count: int = 2,
    run: Callable[[list[str]], int] = main,
) -> list[Process]:
    """`gantool WORDS` as so many ranks, with the environment that torchrun gives them; rank 1 writes to `output`.1."""
    _stores.append(TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False))
    shared = {
        "TORCHELASTIC_RUN_ID": "test",
        "WORLD_SIZE": f"{count}",
        "LOCAL_WORLD_SIZE": f"{count}",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": f"{_stores[-1].port}",
        "TORCHELASTIC_USE_AGENT_STORE": "True",
    }
    return [
        Process(words, Path(f"{output}.{rank}"), more={**shared, "RANK": f"{rank}", "LOCAL_RANK": f"{rank}"}, run=run)
        for rank in range(count)
    ]


def free_port() -> int:
    """One that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _run(
    words: list[str],
    folder: str,
    output: Path,
    stdout: str | None,
    environment: dict[str, str],
    run: Callable[[list[str]], int],
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    if stdout:
        os.dup2(os.open(stdout, os.O_WRONLY), 1)
    if stdout == "":
        sys.stdout = None  # type: ignore[assignment]  # as Python has it where the descriptor is closed
    os.chdir(folder)
    sys.exit(run(words))
