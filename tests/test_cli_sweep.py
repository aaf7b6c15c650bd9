"""Sweeps: every job runs, and the end is a table with each failure named."""

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from PIL import Image

from extent import some, thorough
from gantool.cli.main import main
from gantool.errors import GantoolError
from gantool.page.content import headline
from gantool.page.reading import RunFolder
from gantool.paths import conf_dir
from gantool.sweeps.best import PRESET, tell_best
from gantool.sweeps.jobs import enrol, spelled
from gantool.sweeps.ranking import ranking
from gantool.sweeps.results import Result, read_results
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
    assert "gantool train job 3 of 6: error: the data is not there\n" in err
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
    found = ranking(results, metric)
    assert found.metric == (metric or "fd_digits")
    assert "".join(result.name for result in found.results) == order


def planted(folder: Path, *words: str, sources: Sequence[str] = ()) -> None:
    """A job of somebody else in a sweep's folder, better than any."""
    job = folder / "9-job"
    (job / ".hydra").mkdir(parents=True)
    (job / "status.json").write_text(json.dumps({"state": "finished", "metrics": {"fd_digits": 1e-9}}))
    (job / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(list(words)))
    found = [{"schema": "file", "provider": "command-line", "path": path} for path in sources]
    runtime = {"cwd": "/", "config_sources": found, "choices": {}}
    (job / ".hydra" / "hydra.yaml").write_text(yaml.safe_dump({"hydra": {"runtime": runtime}}))


def told(folder: Path, *typed: str) -> list[str]:
    return tell_best(folder, ranking(read_results(folder), None), typed)


FOREIGN = {
    "loss._target_=evil.made": "'evil.made'",
    "loss={_target_: evil.made}": "'evil.made'",
    "+model.generator.hidden=[{a: {_target_: os.system}}]": "'os.system'",
    "trainer.seed='${oc.env:HOME}'": r"'\$\{oc.env:HOME\}'",
    "trainer.time_limit={_target_: evil.made}": "'evil.made'",
    "trainer.time_limit='${oc.env:HOME}'": r"'\$\{oc.env:HOME\}'",
    "hydra.callbacks.x.y=1": "'hydra.callbacks.x.y=1'",
    "hydra/callbacks=x": "'hydra/callbacks=x'",
    "trainer.seed=1,2": "'trainer.seed=1,2'",
}


@pytest.mark.parametrize("word", FOREIGN)
def test_what_somebody_elses_job_asks_for_is_not_told_to_be_pasted(word: str, tmp_path: Path) -> None:
    planted(tmp_path, "loss=hinge", word)
    (line,) = told(tmp_path, "trainer.seed=3,4", "trainer.time_limit=2h")
    assert re.fullmatch(rf"best: 9-job, which asks for {FOREIGN[word]}, which is not gantool's own: .+", line)
    assert not (tmp_path / PRESET).exists()
    if word.startswith(("loss", "+", "trainer.time_limit")):
        assert "gantool train" in told(tmp_path, "trainer.seed=3,4", word)[1], "the user's own may"
    several = word.replace("evil.made", "evil.other,evil.made", 1)
    if several.startswith("loss._"):
        assert "gantool train" in told(tmp_path, several)[1]


@pytest.mark.parametrize("word", ["--config-dir=evil", "--experimental-rerun=x", "-m", "a=b\nc=d", "a[=", "\x1b=3"])
def test_words_that_are_none_do_not_end_a_sweep(word: str, tmp_path: Path) -> None:
    planted(tmp_path, "loss=hinge", word)
    assert told(tmp_path) == ["best: 9-job, whose words in .hydra/overrides.yaml cannot be read"]


def test_a_folder_of_somebody_elses_is_not_composed_from(tmp_path: Path) -> None:
    planted(tmp_path, "loss=hinge", sources=["/evil"])
    (line,) = told(tmp_path)
    assert line.startswith("best: 9-job, which asks for '/evil', which is not")


def test_the_preset_of_the_best_says_no_more_than_its_words(tmp_path: Path) -> None:
    folder = tmp_path / "x\nmodel: evil\x85loss: evil"
    planted(folder, "trainer.seed=3")
    assert len(told(folder)) == 3
    assert yaml.safe_load((folder / PRESET).read_text()) == {"trainer": {"seed": 3}}
    planted(tmp_path / "other", "loss=hinge", "++a=[1]", "++a.b=2")
    lines = told(tmp_path / "other")
    assert len(lines) == 2 and lines[1].startswith("  gantool train loss=hinge"), "none can be made"


def test_the_words_of_a_sweep_are_the_users(in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Path("mine.py").write_text("from gantool.losses import NonSaturating as First, NonSaturating as Second\n")
    words = ["trainer.seed=2", "loss._target_=mine.First,mine.Second", "hydra.sweep.dir=sweep"]
    assert main(["train", "-m", *words]) == 0
    assert re.search(r"(?m)^  gantool train trainer.seed=2 loss._target_=mine.First$", capfd.readouterr().out)


TYPED = ["dataset.root=${oc.env:MINE}", "loss=glob([h*,l*])", "optimizer.discriminator.lr=${..generator.lr}"]
TYPED += ["trainer.seed=range(1,3)", "trainer.time_limit=${oc.env:NO,2h}"]


@pytest.mark.parametrize("word", some(TYPED, 2))
def test_whatever_was_typed_for_a_sweep_ends_in_its_best(
    word: str, in_tmp: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    """And with its table, whatever a ${...} in it stands for."""
    monkeypatch.setenv("MINE", "photos (old)")
    (in_tmp / "photos (old)").mkdir()
    for number in range(64):
        Image.new("L", (32, 32), number).save(in_tmp / "photos (old)" / f"{number}.png")
    data = ["dataset=folder", "dataset.resolution=32", "dataset.channels=1", "score=none"]
    words = [word, *(data if word.startswith("dataset") else ())]
    assert main(["train", "-m", *words, "model=mlp,dcgan", "hydra.sweep.dir=sweep"]) == 0
    out = capfd.readouterr().out
    (line,) = re.findall(r"(?m)^  gantool train (?!.*experiment=best).+$", out)
    assert f"{word.partition('=')[0]}=" in line and "jobs in" in out and (in_tmp / "sweep" / PRESET).is_file()


def test_a_link_of_the_users_own_is_none_where_no_sweep_is(in_tmp: Path) -> None:
    for path in ("disk", "sweep"):
        (in_tmp / path).mkdir()
    (in_tmp / "sweep" / "big").symlink_to(in_tmp / "disk")
    assert main(["train", "-m", "trainer.seed=1,2", "hydra.sweep.dir=sweep"]) == 0


@pytest.mark.parametrize("name", ["0-${oc.env:HOME}", "0-a'", "0-a\\"])
def test_a_job_is_not_called_what_hydra_would_read_more_in(name: str, tmp_path: Path) -> None:
    job = {"name": name, "words": list(spelled(["trainer.seed=1"])), "digest": ""}
    (tmp_path / "sweep.json").write_text(json.dumps({"jobs": [job]}))
    with pytest.raises(GantoolError, match="this is not a job name of gantool's; rename it"):
        enrol(tmp_path, ["trainer.seed=1"], "", str)
