"""A rank that dies, a mistake that one or all make, torchrun that goes or starts them again: the run ends or goes on,
and says so in one line."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import torch.distributed as dist
from torch.distributed import FileStore  # pyright: ignore[reportPrivateImportUsage]

from extent import some, thorough
from gantool.cli.main import main
from gantool.errors import RankLost
from gantool.logging.status import read_status
from gantool.ranks import PATIENCE, process_group
from processes import free_port, ranks
from runs import newest, small, wait_for_rounds

LONG = ["trainer.log_every=1it"]
_started: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def torchrun_ends() -> Iterator[None]:
    """And its ranks with it, whatever the test found."""
    yield
    while _started:
        _started.pop().terminate()


def told(output: str) -> list[str]:
    return [line for line in output.splitlines() if "error:" in line or "Traceback" in line or "gloo" in line]


@pytest.mark.parametrize("victim", some([1, 0], 1))
def test_the_others_end_when_a_rank_is_killed(in_tmp: Path, victim: int) -> None:
    both = ranks(small(in_tmp / "run", *LONG, model="mlp", rounds=100_000), in_tmp / "out")
    wait_for_rounds(in_tmp / "run")
    both[victim].send(signal.SIGKILL)
    said = both[1 - victim].wait(15)
    both[victim].wait(15)
    assert both[1 - victim].code == 1
    [line] = told(said)
    assert line.startswith("gantool train: error: ") and "another rank was killed" in line and line.isascii()
    status = read_status(in_tmp / "run")
    assert status["state"] == "failed" and "another rank was killed" in str(status["error"])


def trip(words: list[str]) -> int:
    """gantool, which fails on the second rank."""
    from gantool.errors import GantoolError
    from gantool.runs import start

    def play(*rest) -> None:
        raise GantoolError("its disk is full")

    if os.environ["RANK"] == "1":
        start.train = play
    return main(words)


def hurried(words: list[str]) -> int:
    """gantool with less patience."""
    import gantool.ranks

    gantool.ranks.PATIENCE = timedelta(seconds=10)
    return main(words)


def late(words: list[str]) -> int:
    """The same, where the second rank never begins."""
    if os.environ["RANK"] == "1":
        time.sleep(120)
    return hurried(words)


def stall(words: list[str]) -> int:
    """The same, where the second rank never plays a round."""
    from gantool.runs import start

    if os.environ["RANK"] == "1":
        start.train = lambda *rest: time.sleep(120)
    return hurried(words)


def test_what_one_rank_failed_of_is_told_once_and_noted(in_tmp: Path) -> None:
    both = ranks(small(in_tmp / "run", model="mlp", rounds=100_000), in_tmp / "out", run=trip)
    said = [process.wait(30) for process in both]
    assert [process.code for process in both] == [1, 1]
    assert [told(text) for text in said] == [[], ["gantool train: error: rank 1: its disk is full"]]
    assert read_status(in_tmp / "run")["error"] == "rank 1: its disk is full"


@thorough
@pytest.mark.parametrize("run", [late, stall])
def test_a_rank_that_stands_still_is_waited_for_no_longer_than_that(
    in_tmp: Path, run: Callable[[list[str]], int]
) -> None:
    """Ten seconds in place of half an hour."""
    assert PATIENCE.total_seconds() == 30 * 60
    both = ranks(small(in_tmp / "run", model="mlp"), in_tmp / "out", run=run)
    said = both[0].wait(60)
    both[1].send(signal.SIGKILL)  # it still sleeps
    both[1].wait(15)
    assert [process.code for process in both] == [1, -signal.SIGKILL]
    [line] = told(said)
    assert line.startswith("gantool train: error: another rank was killed or lost its machine")


def test_a_mistake_of_all_ranks_is_told_once(in_tmp: Path) -> None:
    both = ranks(small(in_tmp / "run", "dataset.shift=40"), in_tmp / "out")
    said = [process.wait(30) for process in both]
    assert [len(told(text)) for text in said] == [1, 0] and "dataset.shift=40" in said[0]


@thorough
def test_a_signal_to_one_rank_stops_both_after_the_same_round(in_tmp: Path) -> None:
    both = ranks(small(in_tmp / "run", *LONG, model="mlp", rounds=100_000), in_tmp / "out")
    wait_for_rounds(in_tmp / "run")
    both[1].send(signal.SIGUSR1)
    said = [process.wait(30) for process in both]
    assert [process.code for process in both] == [128 + signal.SIGUSR1] * 2, said
    assert read_status(in_tmp / "run")["state"] == "stopped" and newest(in_tmp / "run")["progress"]["nimg"] > 0


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Connection closed by peer", RankLost),
        ("NCCL error\nncclRemoteError: A call failed possibly due to a network error or a remote process", RankLost),
        ("NCCL error\nncclInvalidUsage: Duplicate GPU detected : rank 1 and rank 0", dist.DistBackendError),
        ("NCCL error\nncclUnhandledCudaError: Cuda failure 2 'out of memory'", dist.DistBackendError),
    ],
)
def test_an_error_of_this_rank_is_not_told_as_anothers(text: str, kind: type, tmp_path: Path, monkeypatch) -> None:
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setattr("gantool.ranks.meeting", lambda: FileStore(str(tmp_path / "store"), 1))
    monkeypatch.setattr("gantool.ranks.signal.signal", lambda *words: None)
    with pytest.raises(kind), process_group():
        raise dist.DistBackendError(text)


def torchrun(words: list[str], *options: str) -> subprocess.Popen[str]:
    """As two ranks, unless the options say otherwise."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port()}"]
    command += [*options, "-m", "gantool", *words]
    _started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
    return _started[-1]


def children(process: subprocess.Popen[str]) -> dict[str, int]:
    """The ranks' process numbers."""
    found = {}
    for number in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        environment = Path(f"/proc/{number}/environ").read_bytes().split(b"\0")
        found |= {word[5:].decode(): int(number) for word in environment if word.startswith(b"RANK=")}
    return found


@thorough
def test_no_rank_outlives_torchrun(in_tmp: Path) -> None:
    process = torchrun(small(in_tmp / "run", *LONG, model="mlp", rounds=100_000))
    wait_for_rounds(in_tmp / "run")
    own = children(process)
    assert own.keys() == {"0", "1"}
    process.send_signal(signal.SIGUSR1)
    process.communicate(timeout=60)
    until = time.monotonic() + 30
    while any(Path(f"/proc/{number}").exists() for number in own.values()) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{number}").exists() for number in own.values())
    assert read_status(in_tmp / "run")["state"] == "stopped"


@thorough
def test_what_is_said_under_torchrun_when_the_first_rank_is_killed(in_tmp: Path) -> None:
    process = torchrun(small(in_tmp / "run", *LONG, model="mlp", rounds=100_000))
    wait_for_rounds(in_tmp / "run")
    os.kill(children(process)["0"], signal.SIGKILL)
    output, _ = process.communicate(timeout=60)
    found = re.findall("gantool train: .*", output)  # torchrun may be amid a line of its own
    assert len(found) == 1 and found[0].isascii(), output
    assert found[0].startswith("gantool train: error: ") and "another rank was killed" in found[0], output
    status = read_status(in_tmp / "run")
    assert process.returncode != 0 and status["state"] == "failed" and "another rank was killed" in str(status["error"])


@thorough
def test_ranks_that_torchrun_starts_again_go_on_in_their_folder(in_tmp: Path) -> None:
    words = small(in_tmp / "run", *LONG, "trainer.checkpoint_seconds=0.1", model="mlp", rounds=200)
    words = [word for word in words if not word.startswith("hydra.run.dir")]  # it is named by the time of its start
    process = torchrun(words, "--max-restarts=1")
    until = time.monotonic() + 90
    while not list(Path("outputs").rglob("checkpoints/*.pt")) and time.monotonic() < until:
        time.sleep(0.05)
    os.kill(children(process)["1"], signal.SIGKILL)
    output, _ = process.communicate(timeout=120)
    [status] = Path("outputs").rglob("status.json")
    assert process.returncode == 0 and read_status(status.parent)["state"] == "finished", output
    assert newest(status.parent)["progress"]["rounds"] == 200 and "going on at" in output


@thorough
def test_two_machines_meet(in_tmp: Path) -> None:
    """README's line for several machines, both of them here."""
    port = free_port()
    options = ["--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{port}"]
    both = [torchrun(small(in_tmp / "run", model="mlp", rounds=2), *options) for _ in range(2)]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0] and sum(text.count("go on:") for text in said) == 1
    assert newest(in_tmp / "run")["numerics"]["ranks"] == 2
