"""What stays of a run that is killed at its end or between a best checkpoint and the next, and of one that failed."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import gantool
from gantool.cli.main import main
from gantool.errors import GantoolError
from gantool.launch import _claimed
from gantool.logging.status import read_status, write_status
from gantool.paths import cache_dir
from gantool.runs.card import _scored_at
from gantool.sweeps.results import Result
from gantool.training.checkpoint import Checkpoints, nimg_of
from runs import small, train


def bests(checkpoints: Checkpoints) -> list[int | None]:
    return [nimg_of(path) for path in checkpoints._newest_first("best")]


@pytest.mark.parametrize("old", ["running", "failed", "stopped"])
def test_a_run_whose_last_status_is_missing_has_its_scores(old: str, in_tmp: Path, trained_run: Path) -> None:
    run = Path(shutil.copytree(trained_run, in_tmp / "run"))
    ended, best = Result.read(run), read_status(run)["best"]
    progress = {"nimg": 0, "rounds": 0, "total": ended.nimg}
    write_status(run, state=old, error="the disk was full", progress=progress, metrics={}, best={})
    assert main(["train", f"resume={run}"]) == 0
    found = Result.read(run)
    assert (found.state, found.error, found.nimg) == ("finished", None, ended.nimg)
    assert found.metrics == ended.metrics != {} and read_status(run)["best"] == best


def test_the_best_that_the_newest_checkpoint_tells_of_stays_until_the_next(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path)
    state = {"weights": torch.zeros(2)}
    kept.save_as("best", state, 200)
    kept.save(state, 290)
    for nimg in (300, 310, 320):
        kept.save_as("best", {"weights": torch.full((2,), float(nimg))}, nimg)
    assert bests(kept) == [320, 200] and kept.best is not None and nimg_of(kept.best) == 320
    again = Checkpoints(tmp_path)
    again.keep_best(200)  # it was killed at 325, and goes on from 290
    assert bests(again) == [200]
    again.save_as("best", state, 330)
    again.save(state, 340)
    assert bests(again) == [330]
    again.save_as("best", state, 250)  # after a rollback
    assert bests(again) == [250]
    again.keep_best(100)  # of another version, which kept the newest alone
    assert bests(again) == [250]


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")]
)
def test_short_memory_is_no_damage(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Checkpoints(tmp_path)
    kept.save({"weights": torch.zeros(2)}, 10)

    def fails(*args: Any, **how: Any) -> None:
        raise error

    monkeypatch.setattr(torch, "load", fails)
    with pytest.raises(type(error)):
        kept.load_newest()
    assert not kept.passed_over


def test_the_card_tells_when_the_scores_were_taken(tmp_path: Path) -> None:
    run: Any = SimpleNamespace(folder=tmp_path, nimg=60_000)
    assert _scored_at(run) == 60_000
    lines = [{"nimg": 40_000, "kimg": 40, "metrics/fd": 1.0}, {"nimg": 60_000, "kimg": 60, "loss/g": 2.0}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert _scored_at(run) == 40_000


@pytest.mark.parametrize("left", ["", "half", "1e3"])
def test_starts_are_told_apart_whatever_a_killed_one_left(left: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path))
    (cache_dir() / "last_start").write_text(left)
    assert len({_claimed(5000.0) for _ in range(3)}) == 3


def test_a_failure_of_gantool_train_is_recorded(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = small(in_tmp / "run", model="mlp", rounds=2)[1:]

    def fails(*args: Any, **how: Any) -> None:
        raise ValueError("a part of mine")

    monkeypatch.setattr("gantool.runs.start.train", fails)
    with pytest.raises(ValueError, match="a part of mine"):
        gantool.train(words)
    assert read_status(in_tmp / "run") | {"state": "failed", "error": "ValueError: a part of mine"} == read_status(
        in_tmp / "run"
    )


@pytest.mark.parametrize("word", ["hydra.job.name=x", "hydra.verbose=true", "hydra.job.chdir=true"])
def test_words_of_hydra_that_do_nothing_in_python_are_refused(word: str, in_tmp: Path) -> None:
    with pytest.raises(GantoolError, match=f"{word} does nothing here: leave it out"):
        gantool.train([word])


def test_outputs_may_lie_below_home_in_python_too(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(in_tmp))
    monkeypatch.setenv("GANTOOL_OUTPUTS", "~/out")
    run = gantool.train([word for word in small(in_tmp, model="mlp", rounds=1)[1:] if "hydra.run.dir" not in word])
    assert run.folder.is_relative_to(in_tmp / "out") and not (in_tmp / "~").exists()


def test_words_of_commands_that_do_nothing_are_refused(in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train(in_tmp / "a", model="mlp", rounds=1)
    shutil.copytree(in_tmp / "a", in_tmp / "b")
    capfd.readouterr()
    for words, told in (
        (["export", "run=a", "format=torch", "license=mit"], "license=mit is for the model card of a snapshot"),
        (["report", "run=[a,b]", "trust=true"], "trust=true is for the page of one run or sweep"),
        (["cache", "--yes"], "--yes goes with gantool cache clean"),
        (["runs", ".", "--yes"], "--yes goes with --delete"),
    ):
        assert main(words) == 1
        err = capfd.readouterr().err
        assert told in err and err.count("\n") == 1
