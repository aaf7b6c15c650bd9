"""Real processes: killed at random moments, stopped by signals, or broken down, and what they leave."""

import json
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from extent import ALL, FUZZ, some, thorough
from gantool.cli.main import main
from gantool.errors import GantoolError
from gantool.logging.jsonl import read_metrics
from gantool.logging.log import Log
from gantool.training.checkpoint import load
from gantool.training.measurements import Breakdown
from gantool.training.recorder import Pruned, Recorder
from gantool.training.stop import StopSignal
from processes import Process
from runs import newest, same_training, small, train, wait_for_rounds

ROUNDS = 120
WORDS = ["trainer.checkpoint_seconds=0.05", "trainer.log_every=20it", "optimizer/schedule=linear"]
WORDS += ["monitor.scores.every=40it", "monitor.scores.num=60", "monitor.samples.every=30it"]


KILLED = {
    "dcgan": ["model=dcgan", "score=[fd,is]"],
    "wgan-gp conditional": ["model=dcgan", "loss=wgan-gp", "model.conditional=true", "score=[fd,is]"],
    "progan in a fade": ["model=progan", "score=[fd,is]"],
    "infogan": ["model=infogan", "score=[fd,is]", "monitor.codes.every=40it"],
    "cyclegan": ["model=cyclegan", "score=[fd]", "features=digits"],
    "ada": ["model=mlp", "augment=ada", "augment.rise=200img", "augment.interval=1", "score=[fd,is]"],
}
KILLS = 5 if FUZZ else 3 if ALL else 1


def start(folder: Path, *words: str, rounds: int = ROUNDS) -> Process:
    model = next((word.partition("=")[2] for word in words if word.startswith("model=")), "dcgan")
    words = tuple(word for word in words if not word.startswith("model="))
    return Process(small(folder, *WORDS, *words, model=model, rounds=rounds), folder.with_suffix(".out"))


def wait_for_checkpoint(folder: Path, process: Process, newer_than: str = "") -> None:
    until = time.monotonic() + 90
    while time.monotonic() < until and process.code is None:
        if any(p.name > newer_than for p in (folder / "checkpoints").glob("[0-9]*.pt")):
            return
        time.sleep(0.01)
    raise AssertionError(f"no new checkpoint: {process.output.read_text()}")


@pytest.mark.parametrize("case", KILLED if FUZZ else [pytest.param("wgan-gp conditional", marks=thorough)])
def test_killed_at_random_moments_a_run_ends_bit_for_bit_the_same(tmp_path: Path, case: str) -> None:
    """GANTOOL_FUZZ=1 kills six kinds of run five times each."""
    whole = start(tmp_path / "whole", *KILLED[case])
    killed, last = tmp_path / "killed", ""
    for _ in range(KILLS):
        process = start(killed, *KILLED[case])
        wait_for_checkpoint(killed, process, last)
        time.sleep(random.uniform(0, 0.5))
        process.send(signal.SIGKILL)
        process.wait()
        last = max(p.name for p in (killed / "checkpoints").glob("[0-9]*.pt"))
    process = Process(["train", f"resume={killed}"], tmp_path / "resumed.out")
    output = process.wait()
    assert process.code == 0, output
    output = whole.wait()
    assert whole.code == 0, output
    expected, got = newest(tmp_path / "whole"), newest(killed)
    assert got["progress"] == expected["progress"] and expected["progress"]["rounds"] == ROUNDS
    assert same_training(expected, got)
    assert got["metrics"] == expected["metrics"] and got["best"] == expected["best"]
    lines = [[without_times(line) for line in read_metrics(run)] for run in (tmp_path / "whole", killed)]
    assert lines[0] == lines[1] and len(lines[0]) > ROUNDS // 20, "curves go on as if nothing had happened"
    assert json.loads((killed / "status.json").read_text())["state"] == "finished"


def without_times(line: dict) -> dict:
    return {tag: value for tag, value in line.items() if tag != "time" and not tag.startswith("speed/")}


@pytest.mark.parametrize("number", some([signal.SIGTERM, signal.SIGINT, signal.SIGUSR2], 1))
def test_a_signal_leaves_a_checkpoint_and_its_code(tmp_path: Path, number: signal.Signals) -> None:
    process = start(tmp_path / "run", "trainer.checkpoint_seconds=1000", "score=[fd,is]", rounds=100_000)
    wait_for_rounds(tmp_path / "run")
    process.send(number)
    output = process.wait()
    assert process.code == 128 + number, output
    assert "Traceback" not in output
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    assert (
        status["state"] == "stopped" and status["progress"]["nimg"] == newest(tmp_path / "run")["progress"]["nimg"] > 0
    )


def test_a_second_interrupt_leaves_at_once(tmp_path: Path) -> None:
    words = [
        "monitor.scores.every=1it",
        "monitor.scores.num=100000",
        "monitor.scores.batch_size=50",
    ]  # a score of many seconds
    process = start(tmp_path / "run", "trainer.log_every=1it", "score=[fd,is]", *words)
    wait_for_rounds(tmp_path / "run")
    time.sleep(1)
    process.send(signal.SIGINT)
    time.sleep(0.3)
    assert process.code is None, "the first one waits for the end of the round"
    process.send(signal.SIGINT)
    sent = time.monotonic()
    output = process.wait()
    assert process.code in (130, -signal.SIGINT) and time.monotonic() - sent < 3
    assert output.endswith("left at once: nothing is saved since the last checkpoint\n")


def interrupted(owner: type, method: str, monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
    """Ctrl-C comes whenever this is called, and then the error."""
    inner = getattr(owner, method)

    def call(*args: Any, **keys: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        if error is not None:
            raise error
        return inner(*args, **keys)

    monkeypatch.setattr(owner, method, call)


MOMENTS: dict[str, tuple[type, str, Exception | None, str]] = {
    "once the last round is over": (Recorder, "end_round", None, "finished"),
    "in a look that ends the run": (Recorder, "end_looks", Pruned("behind"), "pruned"),
    "in a round that fails": (Recorder, "end_round", GantoolError("the disk is full"), "failed"),
    "in a round that breaks down": (Recorder, "end_looks", Breakdown("trouble"), "failed"),
    "while the log closes": (Recorder, "close", None, "finished"),
    "in the first looks": (Log, "write", None, "stopped"),
}


@pytest.mark.parametrize("moment", some(MOMENTS, 2))
def test_an_interrupt_at_any_time_ends_a_sweep(moment: str, in_tmp: Path, monkeypatch, capfd) -> None:
    owner, method, error, state = MOMENTS[moment]
    interrupted(owner, method, monkeypatch, error)
    words = ["monitor=samples", "-m", "trainer.seed=0,1", f"hydra.sweep.dir={in_tmp / 'sweep'}"]
    base = [word for word in small(in_tmp / "run", model="mlp", rounds=1) if not word.startswith("hydra")]
    assert main([*base, *words]) == 128 + signal.SIGINT
    [job] = [path for path in (in_tmp / "sweep").iterdir() if path.is_dir()]
    status = job / "status.json"
    assert (json.loads(status.read_text())["state"] if status.exists() else "stopped") == state
    told = capfd.readouterr().err
    assert "Traceback" not in told and (error is None or state == "pruned" or str(error) in told)


def test_a_run_that_failed_is_not_queued_again() -> None:
    """By an older handler, such as submitit's, when a signal comes in the round that fails."""
    queued: list[int] = []
    before = signal.signal(signal.SIGUSR2, lambda number, frame: queued.append(number))
    try:
        for error in (GantoolError("the disk is full"), None):
            assert not queued
            with (stop := StopSignal()):
                signal.raise_signal(signal.SIGUSR2)
            with pytest.raises(SystemExit) as left:
                stop.leave(stop.number, error)
            assert left.value.code == 128 + signal.SIGUSR2 and left.value.__cause__ is error
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert queued == [signal.SIGUSR2]


def test_a_breakdown_names_the_term_and_keeps_the_sound_checkpoint(in_tmp: Path, capfd) -> None:
    run = in_tmp / "run"
    before = train(run, rounds=40)
    resume = ["train", f"resume={run}", "trainer.duration=4000it"]
    explode = ["optimizer.lr=1e18", "trainer.checkpoint_seconds=1000"]  # no time to save what is huge but still finite
    assert main([*resume, *explode]) == 1
    error = capfd.readouterr().err
    assert "error: training broke down at" in error and "not finite" in error
    assert "loss/" in error and "Traceback" not in error
    assert json.loads((run / "status.json").read_text())["state"] == "failed"
    for path in (run / "checkpoints").glob("*.pt"):
        assert all(value.isfinite().all() for value in load(path)["game"].values())
    assert newest(run)["progress"] == before["progress"]
    assert main([*resume, "optimizer.lr=1e-4", "trainer.duration=60it"]) == 0
    assert newest(run)["progress"]["rounds"] == 60


def test_networks_cannot_change_when_a_run_goes_on(in_tmp: Path, capfd) -> None:
    run = in_tmp / "run"
    train(run, rounds=2)
    capfd.readouterr()
    assert main(["train", f"resume={run}", "model.generator.width=8"]) == 1
    error = capfd.readouterr().err
    assert "model.generator.width cannot change" in error and len(error.strip().splitlines()) == 1
    assert main(["train", f"resume={run}", "trainer.duration=4it", "optimizer.lr=1e-4"]) == 0
    out = "".join(capfd.readouterr())
    assert "changed: trainer.duration 2it -> 4it" in out
    assert newest(run)["optimizers"]["generator"]["param_groups"][0]["lr"] == pytest.approx(1e-4)
