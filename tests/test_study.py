"""hydra/sweeper=study: trials are asked for, shared, taken up, pruned and told; what was found is drawn and pasted."""

import json
import re
from pathlib import Path
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
from gantool.runs.best import PRESET
from gantool.runs.results import read_results
from gantool.runs.space import as_begun, combinations, space_of
from gantool.runs.study import ask, left_behind, open_study
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
    assert "trial 4 was left by its process: going on with it" in out
    assert re.search(r"pruned: fd_digits [\d.]+ at 0.016 kimg is behind the other trials there", out)
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


@pytest.mark.parametrize("sampler", some(["tpe", "cmaes", "random", "grid"], 2))
@pytest.mark.parametrize("url", some([None, "sqlite:///{}/x.db"], 1))
def test_samplers(sampler: str, url: str | None, tmp_path: Path) -> None:
    """Of a bowl; each trial by a process of its own, which is to make no difference."""
    words = ["x=range(-4,5,2)", "y=-1,0,1"] if sampler == "grid" else ["x=interval(-4,4)", "y=interval(-1,1)"]
    config = StudyConfig(**SETTINGS | {"sampler": sampler, "storage": url and url.format(tmp_path)})
    found = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        study = open_study(folder, config.storage, {"bowl": False})
        if sampler == "grid":
            for one in combinations(space(*words)):
                study.enqueue_trial(one)
        while (trial := ask(folder, config, space(*words))) is not None:
            study.tell(trial.number, (float(trial.params["x"]) - 2) ** 2 + float(trial.params["y"]) ** 2)
        found.append([trial.params for trial in open_study(folder, config.storage).get_trials()])
    assert found[0] == found[1] and len(found[0]) == (15 if sampler == "grid" else 40)
    assert len({json.dumps(params) for params in found[0]}) == len(found[0])
    best = open_study(tmp_path / "a", config.storage).best_value
    assert best < {"tpe": 0.3, "cmaes": 0.5, "random": 1.0, "grid": 0.001}[sampler]
    with pytest.raises(GantoolError, match="vary other keys"):
        as_begun(open_study(tmp_path / "a", config.storage), space("z=1,2"))
    with pytest.raises(GantoolError, match="choose x otherwise"):
        as_begun(open_study(tmp_path / "a", config.storage), space("x=a,b", "y=1,2"))


def test_a_trial_that_was_there_before_is_not_trained_again(tmp_path: Path) -> None:
    config = StudyConfig.model_validate(SETTINGS | {"trials": 8})
    study = open_study(tmp_path, None, {"score": True})
    asked = []
    while (trial := ask(tmp_path, config, space("x=1,2"))) is not None:
        asked.append(trial.params["x"])
        study.tell(trial.number, float(trial.params["x"]))
    assert sorted(asked) == ["1", "2"] and states(tmp_path) == ["COMPLETE"] * 8
    assert study.best_value == 2 and left_behind(tmp_path, study) == []


@thorough
def test_scores_and_seconds_make_a_front(in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["trainer.batch_size=8,16", "study.sampler=grid", "study.objective=[fd_digits,seconds]"]
    assert main(searching(in_tmp / "front", *words, "study.storage=sqlite:///front.db")) == 0
    out = capfd.readouterr().out
    front = re.findall(r"Pareto front: trial \d, fd_digits [\d.]+, seconds [\d.]+", out)
    assert 1 <= len(front) <= 2 and "2 trials: 2 complete" in out
    with Image.open(in_tmp / "front" / "study-pareto-front.png") as image:
        assert image.width > 600
    assert main(["report", "run=front"]) == 0 and "Pareto: front" in (in_tmp / "front" / "report.html").read_text()


def test_nothing_is_drawn_of_one_trial(tmp_path: Path) -> None:
    study = optuna.create_study()
    study.add_trial(optuna.trial.create_trial(state=TrialState.COMPLETE, value=1.0))
    assert draw_study(study, ["score"], tmp_path) == [] and not list(tmp_path.iterdir())


WRONG = {
    "study.objective=fd_digit": "study.objective=fd_digit (did you mean 'fd_digits'?): this run can be judged by fd_",
    "study.trials=0": "study.trials=0: should be greater than 0",
    "study.sampler=grid": "study.sampler=grid needs values, and optimizer.lr is an interval",
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
