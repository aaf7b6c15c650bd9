"""Sweeps and searches in several processes: shared, killed, requeued by submitit, and side by side by joblib."""

import os
import signal
import time
from pathlib import Path

import pytest

from extent import thorough
from gantool.cli.main import main
from gantool.logging.jsonl import read_metrics
from gantool.sweeps.results import read_results
from gantool.sweeps.study import open_study
from processes import Process
from runs import newest, same_training, small, train, wait_for_rounds
from test_study import RATE, searching
from test_sweeps import swept


def wait_for(folder: Path, pattern: str) -> Path:
    """The first file that matches, once it is there."""
    until = time.monotonic() + 120
    while not (found := sorted(folder.glob(pattern))):
        assert time.monotonic() < until, f"no {pattern}"
        time.sleep(0.05)
    return found[0]


@thorough
def test_a_killed_trial_is_taken_up_by_another_process(in_tmp: Path) -> None:
    folder = in_tmp / "search"
    words = [RATE, "study.trials=3", "trainer.duration=400it", "trainer.checkpoint_seconds=1e-9"]
    words = searching(folder, *words, "monitor.scores.every=1600img", "study.pruner=none")
    first = Process(words, in_tmp / "first")
    checkpoint = wait_for(folder, "0-*/checkpoints/[0-9]*.pt")
    second = Process(words, in_tmp / "second")
    wait_for(folder, "1-*/checkpoints/[0-9]*.pt")
    first.send(signal.SIGKILL)
    said = second.wait(300)
    assert second.code == 0 and first.code == -signal.SIGKILL
    assert "is gone: continuing the trial" in said and "going on at" in said
    assert {result.state for result in read_results(folder)} == {"finished"} and len(read_results(folder)) == 3
    assert {trial.state.name for trial in open_study(folder).get_trials()} == {"COMPLETE"}
    assert newest(checkpoint.parents[1])["progress"]["nimg"] == 3200


def cores() -> int:
    return len(os.sched_getaffinity(0))


@thorough
def test_jobs_side_by_side_share_the_cores(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert main(swept(in_tmp / "sweep", "trainer.seed=1,2", "hydra/launcher=joblib")) == 0
    states = [newest(in_tmp / "sweep" / name) for name in ("0-trainer.seed-1", "1-trainer.seed-2")]
    assert [state["numerics"]["threads"] for state in states] == [max(1, cores() // 2)] * 2


@thorough
def test_trials_side_by_side_are_each_trained_once(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    folder = in_tmp / "search"
    side_by_side = ["study.trials=4", "study.at_once=2", "hydra/launcher=joblib"]
    assert main(searching(folder, RATE, *side_by_side)) == 0
    trials = open_study(folder).get_trials()
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 4
    begun = [trial.datetime_start for trial in trials if trial.datetime_start]
    ended = [trial.datetime_complete for trial in trials if trial.datetime_complete]
    assert begun[1] < ended[0] < begun[2] and begun[3] < ended[2], "two at once, and then two"
    results = read_results(folder)
    assert len(results) == 4 and {result.state for result in results} == {"finished"}
    for result in results:
        seen = [line["rounds"] for line in read_metrics(folder / result.name) if "metrics/fd_digits" in line]
        starts = list((folder / result.name).glob("events*"))
        assert seen == [2, 4] and len(starts) == 1, "each is trained by one process, once"
        assert newest(folder / result.name)["numerics"]["threads"] == max(1, cores() // 2)


def task_of(folder: Path) -> int:
    """The process of submitit that trains a job."""
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_text()
        except OSError:
            continue
        if "submitit.core._submit" in words and str(folder) in words:
            return int(place.parent.name)
    raise AssertionError("no task of submitit")


@thorough
def test_a_job_that_is_requeued_goes_on_bit_for_bit(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    words = [w for w in small(in_tmp, model="mlp", rounds=400) if not w.startswith("hydra")]
    words += ["trainer.log_every=8img", "-m", "trainer.seed=3", f"hydra.sweep.dir={in_tmp / 'sweep'}"]
    sweep = Process([*words, "hydra/launcher=submitit_local"], in_tmp / "said")
    run = in_tmp / "sweep" / "0-run"
    wait_for(run, ".hydra/hydra.yaml")
    os.kill(task_of(in_tmp / "sweep"), signal.SIGUSR2)  # before its first round
    wait_for_rounds(run)
    os.kill(task_of(in_tmp / "sweep"), signal.SIGUSR2)
    said = sweep.wait(300)
    logs = "".join(path.read_text() for path in (in_tmp / "sweep" / ".submitit").rglob("*_log.*"))
    assert sweep.code == 0, said + logs
    assert "going on at" in logs and "checkpoint saved" in logs
    assert same_training(newest(run), train(in_tmp / "whole", "trainer.seed=3", model="mlp", rounds=400))


def test_the_slurm_launcher_composes(in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("submitit")
    assert main(["train", "hydra/launcher=slurm", "hydra.launcher.mem_gb=8", "--cfg", "hydra"]) == 0
    out = capfd.readouterr().out
    assert "submitit_launcher.SlurmLauncher" in out and "requeue: true" in out and "mem_gb: 8" in out


def test_a_launcher_that_is_not_installed_names_its_extra(
    in_tmp: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gantool.errors.find_spec", lambda name: None)
    assert main(["train", "-m", "hydra/launcher=slurm"]) == 1
    assert "hydra/launcher=slurm needs submitit: pip install 'gantool[slurm]'" in capfd.readouterr().err
