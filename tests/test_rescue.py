"""States to go back to: when they are kept, and what a run that goes on from one of them still has."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gantool.cli.main import main
from gantool.game import Game
from gantool.logging.log import Log
from gantool.training.checkpoint import Checkpoints
from gantool.training.measurements import Breakdown, Measurements
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
    later = [place for place in places if events[place][0] == "good"][1:]
    assert all("watchdog/diversity" in str(events[place - 2]) for place in later)


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


def test_a_signal_in_a_round_that_breaks_down_ends_the_run(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = Measurements.check

    def check(self: Measurements, game: Game) -> None:
        try:
            inner(self, game)
        except Breakdown:
            signal.raise_signal(signal.SIGTERM)
            raise

    monkeypatch.setattr(Measurements, "check", check)
    assert main(small(in_tmp / "run", *EXPLODES, LOWER, model="mlp", rounds=40)) == 128 + signal.SIGTERM
    status = json.loads((in_tmp / "run" / "status.json").read_text())
    assert status["state"] == "stopped" and status["progress"]["rounds"] < 20 and status["watchdog"]["rollbacks"] == 1
