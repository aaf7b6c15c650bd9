"""Sweeps: every job runs, and the end is a table with each failure named."""

import json
import re
import shlex
from pathlib import Path

import pytest

from extent import thorough
from gantool.cli.main import main
from gantool.page.content import headline
from gantool.page.reading import RunFolder
from gantool.paths import conf_dir
from gantool.runs.results import Result, rank, read_results
from stand_in import runs

pytestmark = pytest.mark.usefixtures("stand_in")


def states(folder: Path) -> dict[str, str]:
    """State of every job by the name of its folder."""
    return {result.name: result.state for result in read_results(folder)}


def test_a_sweep_runs_every_job_and_names_failures(capfd: pytest.CaptureFixture[str]) -> None:
    words = ["trainer.seed=1,13,14,15,18,2", "optimizer.lr=0.5", "hydra.sweep.dir=sweep"]
    assert main(["train", "-m", *words]) == 1
    out, err = capfd.readouterr()
    assert states(Path("sweep")) == {
        "0-trainer.seed-1": "finished",
        "1-trainer.seed-13": "failed",
        "2-trainer.seed-14": "failed",
        "3-trainer.seed-15": "failed",
        "4-trainer.seed-18": "failed",
        "5-trainer.seed-2": "finished",
    }
    table = out[out.index("Sweep of 6 jobs") :].splitlines()
    assert table[2].split()[:3] == ["1", "5-trainer.seed-2", "8"]
    assert table[3].split()[:3] == ["2", "0-trainer.seed-1", "9"]
    assert "4 of 6 jobs failed:" in table
    assert "  1-trainer.seed-13: RuntimeError: a bug" in table
    assert "  2-trainer.seed-14: nor is the network" in table
    assert "gantool train job 2: error: the data is not there\n" in err
    assert "Error executing job" not in err


def test_what_is_to_be_pasted_composes_from_ones_own_folders(in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The best job's line, its preset's and the page's command."""
    for folder, kind, of in (("my conf", "loss", "hinge"), ("more", "augment", "ada")):
        (in_tmp / folder / kind).mkdir(parents=True)
        (in_tmp / folder / kind / "mine.yaml").write_text((conf_dir() / kind / f"{of}.yaml").read_text())
    words = ["--config-dir=my conf", "hydra.searchpath=[more]", "loss=mine", "augment=mine", "trainer.seed=1,2"]
    assert main(["train", "-m", *words, "hydra.sweep.dir=sweep"]) == 0
    lines = re.findall(r"(?m)^  (gantool train .+)$", capfd.readouterr().out)
    job = Path("sweep", "1-trainer.seed-2")
    lines.append(headline(RunFolder.open(job))["command"])
    assert len(lines) == 3
    for number, line in enumerate(lines):
        assert main([*shlex.split(line)[1:], f"hydra.run.dir={number}"]) == 0
        assert Path(str(number), ".hydra", "config.yaml").read_text() == (job / ".hydra" / "config.yaml").read_text()


@thorough
def test_a_sweep_without_failures(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "-m", "trainer.seed=1,2", "sweep_metric=is_digits"]) == 0
    out = capfd.readouterr().out
    (folder,) = {path.parent for path in runs()}
    assert folder.parent.parent == Path("outputs/sweeps")
    assert "is_digits (ranked)" in out and "failed" not in out
    assert out.index("1-trainer.seed-2", out.index("Sweep of")) < out.rindex("0-trainer.seed-1")


def test_a_signal_ends_the_whole_sweep_with_the_table(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "-m", "trainer.seed=1,16,2", "hydra.sweep.dir=sweep"]) == 143
    out, err = capfd.readouterr()
    stopped = {"0-trainer.seed-1": "finished", "1-trainer.seed-16": "stopped", "2-trainer.seed-2": "not started"}
    assert states(Path("sweep")) == stopped
    assert "Sweep of 3 jobs" in out
    assert "goes on" in err


def test_a_sweep_that_does_not_compose_leaves_nothing(in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "-m", "model=mlp,nothing"]) == 1
    err = capfd.readouterr().err
    assert err.startswith("gantool train: error: no 'nothing' in config group 'model'; choices: ")
    assert err.endswith("\n") and err.count("\n") == 1 and "dcgan" in err
    assert not list(in_tmp.iterdir())


def test_a_killed_job_counts_as_failed(tmp_path: Path) -> None:
    job = tmp_path / "3-lr-1"
    job.mkdir()
    assert (Result.read(job).state, Result.read(job).error) == ("not started", None)
    (job / "status.json").write_text(json.dumps({"state": "running", "error": None, "progress": None, "metrics": None}))
    result = Result.read(job)
    assert (result.state, result.error) == ("failed", "its process was killed")


@pytest.mark.parametrize(
    ("metric", "order"), [(None, "bacd"), ("fd_digits", "bacd"), ("is_digits", "cabd"), ("unknown", "abcd")]
)
def test_ranking(metric: str | None, order: str) -> None:
    higher = ("is_digits",)
    results = [
        Result("a", "finished", None, 0, {"fd_digits": 2.0, "is_digits": 5.0}, higher),
        Result("b", "finished", None, 0, {"fd_digits": 1.0, "is_digits": 4.0}, higher),
        Result("c", "stopped", None, 0, {"fd_digits": float("nan"), "is_digits": 6.0}, higher),
        Result("d", "failed", "a bug", 0, {"fd_digits": 0.0, "is_digits": 9.0}, higher),
    ]
    used, ranked = rank(results, metric)
    assert used == (metric or "fd_digits")
    assert "".join(result.name for result in ranked) == order
