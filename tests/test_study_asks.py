"""What a study asks for next and ends early, without training: samplers, trials that are alike, and pruners."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from optuna.trial import TrialState

from extent import some
from gantool.config.schema import StudyConfig
from gantool.errors import GantoolError
from gantool.monitors.scores import Scores
from gantool.runs.space import as_begun, combinations
from gantool.runs.study import ask, judge_of, left_behind, open_study
from gantool.training.loop import Every
from gantool.training.recorder import Pruned
from test_study import SETTINGS, space, states


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


def test_a_trial_like_one_that_still_runs_is_told_the_same_end(tmp_path: Path) -> None:
    config = StudyConfig.model_validate(SETTINGS | {"trials": 12, "at_once": 12})
    study = open_study(tmp_path, None, {"score": True})
    asked = []
    while (trial := ask(tmp_path, config, space("x=1,2,3"))) is not None:
        asked.append(trial)
    assert sorted(trial.params["x"] for trial in asked) == ["1", "2", "3"] and states(tmp_path) == ["RUNNING"] * 12
    ends = {"1": ("COMPLETE", [0.5]), "2": ("PRUNED", None), "3": ("FAIL", None)}
    for trial in asked:
        state, values = ends[trial.params["x"]]
        study.tell(trial.number, values, state=TrialState[state])
        assert ask(tmp_path, config, space("x=1,2,3")) is None
        ended = [one for one in study.trials if one.params == trial.params]
        assert [(one.state.name, one.values) for one in ended] == [(state, values)] * len(ended)
    assert left_behind(tmp_path, study) == []


@pytest.mark.parametrize(
    ("pruner", "looks", "scores", "ended"),
    [
        ("none", 2, [1, 9, 0.9, 0.8, 0.7, 9], {}),
        ("median", 2, [1, 9, 0.9, 0.8, 0.7, 9], {5: 1}),  # four trials come first
        ("hyperband", 2, [1, 9, 0.9, 0.8, 0.7, 9], {1: 1, 5: 1}),
        ("hyperband", 9, [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 9, 9, 9], {6: 3, 7: 3, 8: 1}),  # by its bracket
    ],
)
def test_a_pruner_ends_the_trials_that_fall_behind(
    pruner: str, looks: int, scores: list[float], ended: dict[int, int], tmp_path: Path
) -> None:
    """Each trial has the same score at all looks; `ended`: at which look, by the trial's number."""
    folder, found = tmp_path / "search", {}
    folder.mkdir()
    study = open_study(folder, None, {"fd": False})
    monitors = [Every(16, Scores.__new__(Scores))]
    for number, score in enumerate(scores):
        config = StudyConfig.model_validate(SETTINGS | {"pruner": pruner, "trial": number})
        assert ask(folder, config, space("x=interval(0,1)")) is not None
        setup: Any = SimpleNamespace(config=SimpleNamespace(study=config))
        judge = judge_of(setup, folder / f"{number}-job", monitors, 16 * looks) or (lambda scores, nimg: None)
        try:
            for look in range(1, looks + 1):
                judge({"fd": score}, 16 * look)
            study.tell(number, score)
        except Pruned as reason:
            found[number] = look
            assert str(reason) == f"fd 9 at {0.016 * look:g} kimg is behind the other trials there"
            study.tell(number, state=TrialState.PRUNED)
    assert found == ended
