"""hydra/sweeper=study: trials are asked for, shared, taken up, pruned and told; what was found is drawn and pasted."""

import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from PIL import Image

from composing import composed, typed
from extent import some, thorough
from gantool.analysis.draw_study import draw_study
from gantool.cli.main import main
from gantool.config.schema import StudyConfig
from gantool.errors import GantoolError
from gantool.logging.status import read_status
from gantool.paths import conf_dir
from gantool.sweeps.best import PRESET
from gantool.sweeps.jobs import read_jobs
from gantool.sweeps.results import read_results
from gantool.sweeps.space import combinations, space_of
from gantool.sweeps.storage import storage_of
from gantool.sweeps.study import ask, exists, open_study
from runs import small

RATE = "optimizer.lr=tag(log,interval(1e-5,1e-1))"


def searching(folder: Path, *words: str) -> list[str]:
    """The words of a search with small runs that are scored twice."""
    scored = ["score=fd", "monitor=scores", "monitor.scores.num=60", "monitor.scores.every=16img"]
    base = [word for word in small(folder, *scored, model="mlp") if not word.startswith("hydra")]
    return [*base, "-m", "hydra/sweeper=study", f"hydra.sweep.dir={folder}", *words]


def states(folder: Path) -> list[str]:
    """Of the trials."""
    return [trial.state.name for trial in open_study(folder).get_trials(deepcopy=False)]


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search of four trials."""
    folder = tmp_path_factory.mktemp("searches") / "search"
    assert main(searching(folder, RATE, "loss=hinge,lsgan", "study.trials=4")) == 0
    return folder


def test_a_search_goes_on_with_what_was_left_and_prunes(searched: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert states(searched) == ["COMPLETE"] * 4
    study = open_study(searched)
    left = ask(searched, StudyConfig.model_validate(SETTINGS | {"trials": 5}), space(RATE, "loss=hinge,lsgan"))
    assert left is not None
    left.set_user_attr("job", "4-left")  # and its process was killed
    study.enqueue_trial({"optimizer.lr": 0.099, "loss": "lsgan"})
    journal = searched / "study.journal"  # what scored half a unit leaves the next behind
    text, count = re.subn(r'("intermediate_value": ?)[\d.e+-]+', r"\g<1>0.5", journal.read_text())
    assert count == 4
    journal.write_text(text)
    assert main(searching(searched, "loss=lsgan,hinge", RATE, "study.trials=6")) == 0
    out = capfd.readouterr().out
    assert "trial 4 is gone: continuing the trial" in out
    assert re.search(r"pruned: fd_digits [\d.]+ at 0.016 kimg is behind the other trials at that point", out)
    ended = states(searched)
    assert ended[:4] == ["COMPLETE"] * 4 and ended[5] == "PRUNED" and "failed" not in out and "FAIL" not in ended
    told = {result.name: result.state for result in read_results(searched)}
    assert len(told) == 6 and told["4-left"] in ("pruned", "finished")
    assert any(state == "pruned" and name.startswith("5-") for name, state in told.items())
    assert read_status(searched / next(name for name in told if name.startswith("5-")))["state"] == "pruned"
    assert main(searching(searched, RATE, "loss=hinge,lsgan", "study.trials=6")) == 0
    assert states(searched) == ended, "the same command again finds all of it done"


def test_the_best_setting_as_a_line_and_as_a_preset(searched: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["report", f"run={searched}"]) == 0
    page = (searched / "report.html").read_text()
    assert "<h2>Search</h2>" in page and "Parallel: fd_digits" in page and "Importance: fd_digits" in page
    text = (searched / PRESET).read_text()
    line = re.search(r": gantool train (.+)", text)
    assert line is not None and "study" not in line[1]
    pasted, _ = composed(
        *(f"++{word}" if "." in word.split("=")[0] else word for word in line[1].replace("'", "").split())
    )
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        chosen = compose("train", overrides=[f"hydra.searchpath=[file://{searched}]", "experiment=best"])
    assert chosen == pasted and f"lr: {chosen.optimizer.lr}" in text


SETTINGS: dict[str, Any] = {
    "trials": 40,
    "objective": None,
    "sampler": "tpe",
    "pruner": "none",
    "seed": 0,
    "at_once": 1,
}
SETTINGS |= {"time_limit": None, "storage": None, "trial": None}


def space(*words: str) -> dict:
    """What these words search."""
    return space_of(OverridesParser.create().parse_overrides(list(words)))


def test_what_is_searched() -> None:
    assert space(RATE, "++a.b=int(interval(2,5))", "c=range(2,9,2)", "d=x,y", "e=interval(0,1)", "f=4,8") == {
        "optimizer.lr": FloatDistribution(1e-5, 1e-1, log=True),
        "a.b": IntDistribution(2, 5),
        "c": IntDistribution(2, 8, step=2),
        "d": CategoricalDistribution(["x", "y"]),
        "e": FloatDistribution(0, 1),
        "f": CategoricalDistribution(["4", "8"]),
    }
    with pytest.raises(GantoolError, match=r"^a=tag\(log,interval\(0,1\)\): "):
        space("a=tag(log,interval(0,1))")
    with pytest.raises(GantoolError, match="^study.sampler=grid needs values, and e is an interval"):
        combinations(space("e=interval(0,1)"))
    steps = [
        space(word) for word in ("trainer.seed=range(0,3)", "trainer.seed=0,1,2", "trainer.seed=int(interval(0,2))")
    ]
    found = [[int(one["trainer.seed"]) for one in combinations(step)] for step in steps]
    assert found == [[0, 1, 2]] * 3


def moved(searched: Path, folder: Path, address: str) -> None:
    """Makes `folder` the search's, as one that is kept at this address and has drawn nothing yet."""
    shutil.copytree(searched, folder, ignore=shutil.ignore_patterns("study*", "report.html"))
    for job in read_jobs(folder):
        path = folder / job.name / ".hydra" / "config.yaml"
        text, count = re.subn(r"(?m)^  storage: null$", f"  storage: {address}", path.read_text())
        assert count == 1
        path.write_text(text)


def test_the_page_draws_a_search_that_is_kept_elsewhere(
    searched: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    base, folder, address = tmp_path / "a b.db", tmp_path / "mine", f"sqlite:///{tmp_path / 'a b.db'}"
    moved(searched, folder, address)
    assert main(["report", f"run={folder}"]) == 0 and not base.exists()
    assert f"cannot be drawn: study.storage={address}: the study cannot be opened (unable to" in capfd.readouterr().out
    names = {"from_study_name": searched.name, "to_study_name": folder.name}
    optuna.copy_study(from_storage=storage_of(searched, None), to_storage=address, **names)
    before = base.read_bytes()
    assert main(["report", f"run={folder}"]) == 0 and "cannot" not in capfd.readouterr().out
    assert "Importance: fd_digits" in (folder / "report.html").read_text() and base.read_bytes() == before
    server = "postgresql://me@host.invalid/studies"
    moved(searched, tmp_path / "server", server)
    for words, told in (([], f"{server}: trust=true "), (["trust=true"], f"study.storage={server}")):
        assert main(["report", f"run={tmp_path / 'server'}", *words]) == 0
        [line] = [line for line in capfd.readouterr().out.splitlines() if "cannot be drawn" in line]
        assert told in line


def test_a_search_whose_folder_has_another_name_is_still_one(searched: Path, tmp_path: Path) -> None:
    copied, elsewhere = tmp_path / "copied", tmp_path / "elsewhere.html"
    shutil.copytree(searched, copied, ignore=shutil.ignore_patterns("study-*.png", "report.html"))
    assert exists(copied, None) and states(copied) == states(searched)
    assert main(searching(copied, RATE, "loss=hinge,lsgan", "study.trials=4")) == 0
    assert states(copied) == states(searched), "it is not begun anew"
    for picture in copied.glob("study-*.png"):
        picture.unlink()
    before = {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}
    assert main(["report", f"run={copied}", f"out={elsewhere}"]) == 0
    assert "Importance: fd_digits" in elsewhere.read_text()
    assert {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()} == before


@thorough
@pytest.mark.parametrize("batch", ["auto", "auto-micro"])
def test_trials_find_their_batch(in_tmp: Path, batch: str) -> None:
    words = searching(in_tmp / "search", RATE, "study.trials=1", f"trainer.batch_size={batch}")
    assert main(words) == 0 and states(in_tmp / "search") == ["COMPLETE"]


def test_a_search_ends_once_its_time_is_over(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the clock of this process, which has the trial that it began come to its end."""
    hours = iter([0, 1, 3])  # it begins, looks before the first trial, and before the next
    monkeypatch.setattr("gantool.cli.study.time", SimpleNamespace(time=lambda: 3600 * next(hours)))
    assert main(searching(in_tmp / "search", RATE, "study.trials=3", "study.time_limit=2h")) == 0
    assert states(in_tmp / "search") == ["COMPLETE"]


@thorough
def test_scores_and_seconds_make_a_front(
    in_tmp: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["trainer.batch_size=8,16", "study.sampler=grid", "study.objective=[fd_digits,seconds]"]
    assert main(searching(in_tmp / "front", *words, "study.storage=sqlite:///front.db")) == 0
    out = capfd.readouterr().out
    front = re.findall(r"Pareto front: trial \d, fd_digits [\d.]+, seconds [\d.]+", out)
    assert 1 <= len(front) <= 2 and "2 trials: 2 complete" in out
    with Image.open(in_tmp / "front" / "study-pareto-front.png") as image:
        assert image.width > 600
    (in_tmp / "front" / "study-pareto-front.png").unlink()
    monkeypatch.chdir("front")
    assert main(["report", "run=."]) == 0 and "Pareto: front" in Path("report.html").read_text()


def test_nothing_is_drawn_of_one_trial(tmp_path: Path) -> None:
    study = optuna.create_study()
    study.add_trial(optuna.trial.create_trial(state=TrialState.COMPLETE, value=1.0))
    assert draw_study(study, ["score"], tmp_path) == [] and not list(tmp_path.iterdir())


WRONG = {
    "study.objective=fd_digit": "study.objective=fd_digit (did you mean 'fd_digits'?): this run can be judged by fd_",
    "study.trials=0": "study.trials=0: should be greater than 0",
    "study.sampler=grid": "study.sampler=grid needs values, and optimizer.lr is an interval",
    "trainer.time_limit=1h": "trainer.time_limit=1h stops a trial but does not end it: take study.time_limit",
    "study.storage=nothing://x": "study.storage=nothing://x: should be postgresql://USER@HOST/DATABASE or sqlite:///FILE",
    "trainer.batch_size=0": "trainer.batch_size=0: should be greater than 0",
    "score=none": "study.objective: there is no score to go by",
}


@pytest.mark.parametrize("word", some(WRONG, 2))
def test_a_search_that_cannot_be_is_refused_in_a_line(
    word: str, in_tmp: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [w for w in searching(in_tmp / "search", RATE, word) if word != "score=none" or "monitor" not in w]
    assert main(words) == 1
    err = capfd.readouterr().err
    assert err.startswith(f"gantool train: error: {WRONG[word]}") and err.count("\n") == 1
    assert not (in_tmp / "search").exists()


@thorough
def test_help_tells_the_keys_of_a_search(capsys: pytest.CaptureFixture[str], in_tmp: Path) -> None:
    assert main(["train", "--help"]) == 0 and "hydra/sweeper=study --help" in capsys.readouterr().out
    assert main(["train", "hydra/sweeper=study", "--help"]) == 0
    out = capsys.readouterr().out
    for name in StudyConfig.model_fields:
        assert re.search(rf"  study\.{name} +\S.* \[", out), name
    assert main(["train", "hydra/sweeper=study"]) == 1 and main(["bench", "-m", "hydra/sweeper=study"]) == 1
    assert capsys.readouterr().err.count("searches with gantool train -m") == 2
    assert typed("model=mlp").study is None
