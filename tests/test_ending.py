"""Runs that end before their length: by scores, bit for bit also when killed, or by the clock."""

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

import gantool
from extent import some, thorough
from gantool.cli.arguments import add_arguments
from gantool.cli.main import main
from gantool.game import Progress
from gantool.runs.resuming import forget_other_scores
from gantool.training.ending import Ending
from gantool.training.loop import Every, follow
from gantool.training.measurements import Breakdown
from gantool.training.state import State
from gantool.training.stop import LATE, SIGNALS, StopSignal
from runs import newest, same, same_training, small, train
from test_contracts import Killed, stop_after

SCORED = ["score=[fd,is]", "monitor=[scores]", "monitor.scores.every=1it", "monitor.scores.num=20"]
WAYS = ["monitor.scores.num=21", "score.fd_infinity.points=7", "monitor.scores.seed=1"]
STILL = ["optimizer.lr=1e-12", "trainer.ema_half_life=1img"]  # nothing changes: the first score is the best


def state_of(run: Path) -> str:
    return json.loads((run / "status.json").read_text())["state"]


@thorough
def test_a_run_that_no_longer_improves_ends_and_may_go_on(in_tmp: Path, monkeypatch, capfd) -> None:
    words = [*SCORED, *STILL, "trainer.stop={metric: fd_digits, patience: 3}", "trainer.checkpoint_seconds=1e-9"]
    ended = train(in_tmp / "run", *words, model="mlp", rounds=9)
    assert ended["progress"]["rounds"] == 4 and state_of(in_tmp / "run") == "finished"
    told = capfd.readouterr().out
    best = next((in_tmp / "run" / "checkpoints").glob("best-*.pt"))
    assert "ended:    at 0.032 kimg, trainer.stop: fd_digits has not improved in 3 scorings" in told
    assert f"best:     fd_digits {ended['best']['value']:.4g} at 0.008 kimg: {best} (checkpoint=best" in told
    assert "trainer.stop=null\n" in told
    resume = ["train", f"resume={in_tmp / 'run'}"]
    assert main(resume) == 0 and newest(in_tmp / "run")["progress"]["rounds"] == 4
    assert "run is finished: trainer.stop: fd_digits" in capfd.readouterr().out
    stop_after(3, monkeypatch)
    with pytest.raises(Killed):
        train(in_tmp / "killed", *words, model="mlp", rounds=9)
    monkeypatch.undo()
    monkeypatch.chdir(in_tmp)
    again = train(in_tmp / "killed", *words, model="mlp", rounds=9)
    assert same_training(again, ended) and same(again["ending"], ended["ending"])
    assert again["progress"] == ended["progress"]
    assert main([*resume, "trainer.stop.patience=4"]) == 0
    assert newest(in_tmp / "run")["progress"]["rounds"] == 5
    assert main([*resume, "trainer.stop=null", "trainer.target.fd_digits=1e9"]) == 0, "reached already"
    assert newest(in_tmp / "run")["progress"]["rounds"] == 5
    capfd.readouterr()
    assert main([*resume, "trainer.stop=null"]) == 0
    assert "the length of the run" not in capfd.readouterr().out, "it is as long as it was to be"
    assert same_training(newest(in_tmp / "run"), train(in_tmp / "whole", *SCORED, *STILL, model="mlp", rounds=9))


@pytest.mark.parametrize("word", some(WAYS, 1))
def test_scores_of_another_way_are_forgotten(in_tmp: Path, word: str, capfd) -> None:
    words = ["score=[fd_infinity]", *SCORED[1:], *STILL, "trainer.stop={metric: fd_infinity_digits, patience: 2}"]
    first = train(in_tmp / "run", *words, model="mlp", rounds=9)
    assert first["progress"]["rounds"] == 3 and first["best"]["nimg"] == 8
    resume = ["train", f"resume={in_tmp / 'run'}"]
    assert main(resume) == 0 and newest(in_tmp / "run")["best"] == first["best"], "the same way goes on"
    capfd.readouterr()
    assert main([*resume, word]) == 0
    again = newest(in_tmp / "run")
    assert again["progress"]["rounds"] == 6 and again["best"]["nimg"] == 32 and again["ending"]["since"] == 2
    assert capfd.readouterr().out.count("how fd_infinity_digits is measured") == 1


def test_a_target_that_was_reached_in_another_way_ends_no_run(in_tmp: Path) -> None:
    """Of a score that tells neither the best state nor when it no longer improves."""
    words = ["score=[fd,fd_infinity]", *SCORED[1:], "trainer.target={fd_infinity_digits: 1e9}"]
    assert train(in_tmp / "run", *words, model="mlp", rounds=9)["progress"]["rounds"] == 1
    before, resume = newest(in_tmp / "run"), ["train", f"resume={in_tmp / 'run'}"]
    assert main(resume) == 0 and newest(in_tmp / "run")["progress"]["rounds"] == 1, "the same way"
    assert main([*resume, "score.fd_infinity.points=7"]) == 0
    after = newest(in_tmp / "run")
    assert after["progress"]["rounds"] == 2 and set(after["metrics"]) == set(before["metrics"])
    assert {name for name, way in after["ways"].items() if way != before["ways"][name]} == {"fd_infinity_digits"}


def test_what_was_measured_in_another_way_is_forgotten_and_nothing_else() -> None:
    best, ending = {"metric": "fd", "value": 1.0, "nimg": 8}, {"metric": "is", "best": 1.0, "since": 1}
    values = {"fd": 1.0, "is": 2.0, "kd": 3.0}
    state: Any = SimpleNamespace(best=best, ending=ending, metrics=values, margins=values, ways={})
    state.forget_other_scores = lambda ways: State.forget_other_scores(state, ways)
    scores: Any = SimpleNamespace(scorer=SimpleNamespace(names=["fd", "is", "kd"]), how=lambda: {"num_fake": 60})
    forget_other_scores(state, scores)
    assert (state.best, state.ending, state.metrics) == (best, ending, values), "an earlier version told no way"
    forget_other_scores(state, scores)
    assert (state.best, state.ending, state.metrics) == (best, ending, values), "the same way"
    scores.how = lambda: {"num_fake": 60, "scores": {"is": {"splits": 5}}}
    forget_other_scores(state, scores)
    assert (state.best, state.ending) == (best, {})
    assert state.metrics == state.margins == {"fd": 1.0, "kd": 3.0}
    state.ending = {"metric": "kd", "best": 3.0, "since": 1}
    scores.scorer.names = ["kd", "fd"]
    forget_other_scores(state, scores)
    assert state.best == {} and state.ending["metric"] == "kd" and state.metrics == {"fd": 1.0, "kd": 3.0}
    forget_other_scores(state, None)
    assert (state.best, state.ending, state.metrics, state.ways) == ({}, {}, {}, {})


@thorough
@pytest.mark.parametrize("target", ["{fd_digits: 1e9, is_digits: 0.5}", "{fd_digits: 1e9}", "{is_digits: 1}"])
def test_scores_that_are_good_enough_end_a_run(in_tmp: Path, target: str, monkeypatch, capfd) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{in_tmp / 'mlflow.db'}")
    pytest.importorskip("mlflow")
    words = [*SCORED, "monitor=[scores,samples]", "monitor.samples.every=100it", "logger=[tensorboard,mlflow]"]
    state = train(in_tmp / "run", *words, f"trainer.target={target}", model="mlp", rounds=5)
    assert state["progress"]["rounds"] == 1 and "at 0.008 kimg, trainer.target: " in capfd.readouterr().out
    assert (in_tmp / "run" / "samples" / "generated-000000.008.png").is_file(), "every monitor looks at the end"
    from mlflow import MlflowClient

    experiment = MlflowClient().get_experiment_by_name("gantool")
    assert experiment is not None
    [run] = MlflowClient().search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"


def test_a_breakdown_in_the_last_looks_leaves_the_run_its_length() -> None:
    """The scores ended it; what then looks too, finds trouble, and the run goes back."""
    seen = {"progress": Progress(nimg=8, rounds=1, total=80), "whole": lambda **how: nullcontext()}
    state: Any = SimpleNamespace(**seen, game=None, ema=MagicMock(), precision=MagicMock())
    recorder = MagicMock(**{"is_due.return_value": False, "is_over.return_value": True})
    measured, watchdog = MagicMock(interval=8), Every(80, MagicMock(side_effect=Breakdown("trouble")))
    with pytest.raises(Breakdown):
        follow(state, measured, [watchdog], recorder, StopSignal())
    assert state.progress.total == 80


def test_when_is_enough() -> None:
    up = Ending(metric="is", patience=2, target={"fd": 2.0, "is": 9.0}, higher_is_better=["is"])
    assert up.reason({}, {"fd": 1.9}) is None and up.reason({}, {"fd": 1.9, "is": 8.9}) is None
    assert up.reason({}, {"fd": 2.0, "is": 9.1}) == "trainer.target: fd 2, is 9.1"
    assert up.reason({}, {"fd": float("nan"), "is": 9.1}) is None
    memory: dict = {}
    since = []
    for score in (float("nan"), 3.0, 2.0, 4.0, 4.0, 3.9):
        up.note({"is": score, "fd": 1.0}, memory)
        since.append(memory["since"])
    assert since == [1, 0, 1, 0, 1, 2] and memory["best"] == 4.0
    assert up.reason(memory, {}) == "trainer.stop: is has not improved in 2 scorings"
    up.note({"fd": 1.0}, memory)
    assert memory["since"] == 2, "it was not scored"


def test_the_clock_ends_a_process_and_a_resume_goes_on(in_tmp: Path, capfd) -> None:
    whole = train(in_tmp / "whole", model="mlp", rounds=3)
    assert main([*small(in_tmp / "run", model="mlp", rounds=3), "trainer.time_limit=0.001s"]) == 0
    assert newest(in_tmp / "run")["progress"]["rounds"] == 1 and state_of(in_tmp / "run") == "stopped"
    assert "at 0.008 kimg, trainer.time_limit=0.001s: a checkpoint is saved" in capfd.readouterr().out
    assert main(["train", f"resume={in_tmp / 'run'}", "trainer.time_limit=2h"]) == 0
    assert same_training(newest(in_tmp / "run"), whole) and state_of(in_tmp / "run") == "finished"
    with StopSignal(Ending(deadline=time.monotonic()).is_late) as stop:
        assert stop.number == LATE
        stop.leave(LATE)


@pytest.mark.parametrize("others", [[], [signal.SIGTERM], [signal.SIGTERM, None]], ids=str)
def test_the_first_signal_counts_whatever_comes_after(others: list[signal.Signals | None]) -> None:
    """Slurm sends SIGUSR2, for submitit to requeue, then SIGTERM; `others` came to other ranks, None is late."""
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR2, lambda number, frame: heard.append(number))
    late = Ending(deadline=time.monotonic()).is_late
    try:
        with StopSignal(late) as stop:
            for number in (signal.SIGUSR2, signal.SIGTERM, signal.SIGUSR1):
                signal.raise_signal(number)
            numbers = [stop.number]
        for number in others:
            with StopSignal(late) as other:
                if number is not None:
                    signal.raise_signal(number)
                numbers.append(other.number)
        with pytest.raises(SystemExit) as left:
            stop.leave(max(numbers))  # what the ranks agree on
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert left.value.code == 128 + signal.SIGUSR2 and heard == [signal.SIGUSR2]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_that_was_shut_out_stays_out(number: int) -> None:
    """nohup ignores SIGHUP, a script's & SIGINT; SIGPIPE every Python process ignores, and a run is to end by it."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with StopSignal() as stop:
            signal.raise_signal(number)
            assert bool(stop.number) == (number == signal.SIGPIPE)
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_a_run_outside_the_main_thread_handles_no_signals(in_tmp: Path) -> None:
    words = [*small(in_tmp / "run", "monitor=none", "trainer.device=cpu", model="mlp", rounds=2)[1:]]
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(gantool.train, add_arguments(words)).result().nimg == 16


WRONG = {
    "trainer.stop={metric: fd_digitz, patience: 2}": "trainer.stop.metric: no score 'fd_digitz' (did you mean",
    "trainer.stop={metric: fd_digits}": "trainer.stop.patience is missing",
    "trainer.stop.patience=0": "trainer.stop.patience=0: should be greater than 0",
    "trainer.target={fid: 2}": "trainer.target.fid: no score 'fid'",
    "trainer.target.fd_digits=low": "trainer.target.fd_digits=low: should be a valid number",
    "trainer.time_limit=2": "trainer.time_limit=2: should be a positive number and a unit",
    "trainer.time_limit=2x": "trainer.time_limit=2x: should be a positive number and a unit",
}


@pytest.mark.parametrize(("word", "line"), some(WRONG.items(), 2), ids=some(WRONG, 2))
def test_what_cannot_be_meant_is_told_before_any_work(in_tmp: Path, word: str, line: str, capfd) -> None:
    assert main([*small(in_tmp / "run", "score=fd", model="mlp"), word]) == 1
    error = capfd.readouterr().err
    assert line in error and error.count("\n") == 1 and not (in_tmp / "run" / "status.json").exists()
