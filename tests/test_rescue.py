"""States to go back to: when they are kept, and what a run that goes on from one of them still has."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch

from gantool.cli.main import main
from gantool.game import Game, Progress
from gantool.logging.console import Console
from gantool.logging.jsonl import read_metrics
from gantool.logging.log import Log
from gantool.logging.record import Record
from gantool.monitors.scores import Scores
from gantool.training.checkpoint import Checkpoints
from gantool.training.loop import Every
from gantool.training.measurements import Breakdown, Measurements
from gantool.training.recorder import Recorder
from gantool.training.rescue import Rescue
from gantool.training.state import State
from runs import small, train
from test_contracts import Killed
from test_watchdog import EXPLODES, LOWER


def test_a_state_is_kept_once_what_it_was_seen_by_is_on_disk(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And with the precision of training, not that of the look."""
    events: list[tuple[str, object]] = []

    def noting(owner: type, name: str, note: Callable[..., tuple[str, object]]) -> None:
        inner = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *words: (events.append(note(*words)), inner(*words))[1])

    noting(Log, "write", lambda log, record, progress: ("write", [*record.scalars]))
    noting(Log, "flush", lambda log: ("flush", None))
    noting(Checkpoints, "save_as", lambda own, kind, saved, nimg: (kind, saved["numerics"]["precision"]))
    monkeypatch.setattr("gantool.runs.build.exact_float32", lambda: None)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    words = ["trainer.watchdog.every=1it", "trainer.watchdog.action=rollback", "trainer.log_every=1it"]
    train(
        in_tmp / "run", *words, "score=[fd]", "monitor=[samples,scores]", "monitor.scores.num=20", model="mlp", rounds=2
    )
    places = [place for place, (kind, _) in enumerate(events) if kind in ("good", "best")]
    kinds = [events[place][0] for place in places]
    assert kinds.count("good") >= 2 and "best" in kinds
    assert all(events[place - 1][0] == "flush" for place in places)
    assert all(events[place][1] == "fp32 tf32" for place in places)
    for place in places[1:]:
        last = next(what for kind, what in reversed(events[:place]) if kind == "write")
        assert "watchdog/diversity" in str(last), "the watchdog is the last to look"


def test_a_run_killed_in_its_first_looks_takes_them_again(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*words: object) -> None:
        raise Killed

    words = ["trainer.watchdog.action=rollback", "monitor=samples"]
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(Log, "write", die)
        train(in_tmp / "run", *words, model="mlp", rounds=1)
    train(in_tmp / "run", *words, model="mlp", rounds=1)
    first = {path.name.partition("-")[0] for path in (in_tmp / "run" / "samples").glob("*-000000.000.png")}
    assert {"real", "generated"} <= first


def test_a_run_killed_amid_looks_takes_them_again(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scores were a new best, and samples and watchdog had not looked yet."""
    words = ["score=[fd]", "monitor=[scores,samples]", "monitor.scores.num=20", "trainer.log_every=1it"]
    words += [f"{key}.every=1it" for key in ("monitor.scores", "monitor.samples", "trainer.watchdog")]

    def look(every: Every, state: State) -> Record:
        if state.progress.nimg and not isinstance(every.monitor, Scores | Measurements):
            raise Killed
        return inner(every, state)

    inner = Every.look
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(Every, "look", look)
        train(in_tmp / "run", *words, model="mlp", rounds=2)
    assert any("metrics/fd_digits" in line for line in read_metrics(in_tmp / "run"))
    train(in_tmp / "run", *words, model="mlp", rounds=2)
    seen = [line["nimg"] for line in read_metrics(in_tmp / "run") if "watchdog/diversity" in line]
    assert seen == [8, 16] and (in_tmp / "run" / "samples" / "generated-000000.008.png").is_file()


def test_a_best_state_that_is_in_trouble_is_none() -> None:
    """What looked after the scores found trouble: the run goes back, and its best state is the one before."""
    state: Any = SimpleNamespace(progress=Progress(nimg=8), metrics={}, margins={}, best={}, ending={})
    recorder = Recorder(None, Log(None), Console(8, quiet=True), None, checkpoint_seconds=1, best_metric="fd")
    recorder.write(Record({"metrics/fd": 1.0}), state)
    assert state.metrics == {"fd": 1.0} and state.best == {}
    state.state_dict = dict
    recorder.end_looks(state)
    assert state.best == {"metric": "fd", "value": 1.0, "nimg": 8}


def test_a_good_state_of_another_session_brings_no_scores_of_another_way(tmp_path: Path) -> None:
    scores = {"metrics": {"fd": 1.0, "is": 2.0}, "margins": {}, "ending": {"metric": "fd", "best": 1.0, "since": 5}}
    back = {**scores, "best": {"metric": "fd", "value": 1.0, "nimg": 8}, "ways": {"fd": "a", "is": "c"}}
    back |= {"progress": {"nimg": 8}, "watch": {}, "rate_factor": 1.0}
    best = {"metric": "fd", "value": 7.0, "nimg": 16}
    state: Any = SimpleNamespace(**{**back, "best": best, "ways": {"fd": "b", "is": "c"}})
    state.unshare, state.state_dict, state.progress = lambda: False, dict, Progress(nimg=16)
    state.load_state_dict = lambda saved: state.__dict__.update({**saved, "progress": Progress(nimg=8)})
    state.forget_other_scores = lambda ways: State.forget_other_scores(state, ways)
    checkpoints: Any = MagicMock(**{"go_back.return_value": back})
    Rescue(state, checkpoints, action="rollback", max_rollbacks=2, rate_factor=0.5).after(Breakdown("trouble"))
    assert (state.metrics, state.ending, state.best) == ({"is": 2.0}, {}, best)
    assert state.ways == {"fd": "b", "is": "c"} and state.progress.nimg == 8


@pytest.mark.parametrize("moment", ["in the round", "on the way back"])
def test_a_signal_while_a_run_breaks_down_ends_it(moment: str, in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner, back = Measurements.check, Rescue.after

    def check(self: Measurements, game: Game) -> None:
        try:
            inner(self, game)
        except Breakdown:
            signal.raise_signal(signal.SIGTERM)
            raise

    def after(self: Rescue, trouble: Breakdown) -> None:
        signal.raise_signal(signal.SIGTERM)
        back(self, trouble)

    if moment == "in the round":
        monkeypatch.setattr(Measurements, "check", check)
    else:
        monkeypatch.setattr(Rescue, "after", after)
    assert main(small(in_tmp / "run", *EXPLODES, LOWER, model="mlp", rounds=40)) == 128 + signal.SIGTERM
    status = json.loads((in_tmp / "run" / "status.json").read_text())
    assert status["state"] == "stopped" and status["progress"]["rounds"] < 20 and status["watchdog"]["rollbacks"] == 1
