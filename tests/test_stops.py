"""Real processes: killed at random moments, stopped by signals, or broken down, and what they leave."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gantool.cli.main import main
from gantool.logging.jsonl import read_metrics
from gantool.training.checkpoint import load
from runs import newest, same_training, small, train, wait_for_rounds

ROUNDS = 300
WORDS = ["trainer.checkpoint_seconds=0.05", "trainer.log_every=20it", "optimizer/schedule=linear", "score=[fd,is]"]
WORDS += ["monitor.scores.every=100it", "monitor.scores.num=60", "monitor.samples.every=50it"]


def start(folder: Path, *words: str, rounds: int = ROUNDS) -> subprocess.Popen:
    command = [sys.executable, "-m", "gantool", *small(folder, *WORDS, *words, rounds=rounds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for_checkpoint(folder: Path, process: subprocess.Popen, newer_than: str = "") -> None:
    until = time.monotonic() + 90
    while time.monotonic() < until and process.poll() is None:
        if any(p.name > newer_than for p in (folder / "checkpoints").glob("[0-9]*.pt")):
            return
        time.sleep(0.01)
    raise AssertionError(f"no new checkpoint: {process.communicate()[0]}")


def test_killed_at_random_moments_a_run_ends_bit_for_bit_the_same(tmp_path: Path) -> None:
    whole = start(tmp_path / "whole")
    killed, last = tmp_path / "killed", ""
    for _ in range(3):
        process = start(killed)
        wait_for_checkpoint(killed, process, last)
        time.sleep(random.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        last = max(p.name for p in (killed / "checkpoints").glob("[0-9]*.pt"))
    command = [sys.executable, "-m", "gantool", "train", f"resume={killed}"]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 0, process.stdout + process.stderr
    output, _ = whole.communicate()
    assert whole.returncode == 0, output
    expected, got = newest(tmp_path / "whole"), newest(killed)
    assert got["progress"] == expected["progress"] and expected["progress"]["rounds"] == ROUNDS
    assert same_training(expected, got)
    assert got["metrics"] == expected["metrics"] and got["best"] == expected["best"]
    steps = [line["nimg"] for line in read_metrics(killed) if "loss/generator/total" in line]
    assert steps == [160 * k for k in range(1, ROUNDS // 20 + 1)], "curves go on without doubled or missing points"
    assert json.loads((killed / "status.json").read_text())["state"] == "finished"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR2])
def test_a_signal_leaves_a_checkpoint_and_its_code(tmp_path: Path, number: signal.Signals) -> None:
    process = start(tmp_path, "trainer.checkpoint_seconds=1000", rounds=100_000)
    wait_for_rounds(tmp_path)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number, output
    assert "Traceback" not in output
    status = json.loads((tmp_path / "status.json").read_text())
    assert status["state"] == "stopped" and status["progress"]["nimg"] == newest(tmp_path)["progress"]["nimg"] > 0


def test_a_second_interrupt_leaves_at_once(tmp_path: Path) -> None:
    words = [
        "monitor.scores.every=1it",
        "monitor.scores.num=100000",
        "monitor.scores.batch_size=50",
    ]  # a score of many seconds
    process = start(tmp_path, "trainer.log_every=1it", *words)
    wait_for_rounds(tmp_path)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None, "the first one waits for the end of the round"
    process.send_signal(signal.SIGINT)
    sent = time.monotonic()
    process.communicate(timeout=60)
    assert process.returncode in (130, -signal.SIGINT) and time.monotonic() - sent < 3


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
