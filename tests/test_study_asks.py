"""What a study asks for next and ends early, without training: samplers, trials that are alike, and pruners."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cmaes
import numpy as np
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import CmaEsSampler
from optuna.trial import TrialState, create_trial

from extent import some
from gantool.config.schema import StudyConfig
from gantool.errors import GantoolError
from gantool.monitors.scores import Scores
from gantool.sweeps.space import as_begun, combinations
from gantool.sweeps.study import ask, judge_of, left_behind, objectives_of, open_study
from gantool.training.loop import Every
from gantool.training.recorder import Pruned
from stranger import Trap
from test_study import SETTINGS, space, states


@pytest.mark.parametrize(  # cmaes keeps its state in the storage
    ("sampler", "url"),
    some([("tpe", None), ("cmaes", None), ("random", None), ("grid", None), ("cmaes", "sqlite:///{}/x.db")], 2),
)
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
    with pytest.raises(GantoolError, match=" x .*hydra.sweep.dir"):
        as_begun(open_study(tmp_path / "a", config.storage), space("x=a,b", "y=1,2"))


def test_a_trial_that_was_there_before_is_not_trained_again(tmp_path: Path) -> None:
    config = StudyConfig.model_validate(SETTINGS | {"trials": 8})
    study = open_study(tmp_path, None, {"score": True})
    asked = []
    while (trial := ask(tmp_path, config, space("x=1,2"))) is not None:
        asked.append(trial.params["x"])
        study.tell(trial.number, float(trial.params["x"]))
    assert sorted(asked) == ["1", "2"] and states(tmp_path) == ["COMPLETE"] * 8
    assert study.best_value == 2 and left_behind(tmp_path, study, space("x=1,2")) == []


def test_nor_is_one_that_was_pruned(tmp_path: Path) -> None:
    """What was behind then would be behind again; one that failed is tried again."""
    config = StudyConfig.model_validate(SETTINGS | {"trials": 16, "sampler": "random"})
    study = open_study(tmp_path, None, {"score": True})
    asked = []
    while (trial := ask(tmp_path, config, space("x=1,2"))) is not None:
        asked.append(trial.params["x"])
        study.tell(trial.number, state=TrialState.PRUNED if trial.params["x"] == "1" else TrialState.FAIL)
    assert asked.count("1") == 1 and asked.count("2") > 1
    ends = {(one.params["x"], one.state.name) for one in study.trials}
    assert ends == {("1", "PRUNED"), ("2", "FAIL")} and len(study.trials) == 16


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
    assert left_behind(tmp_path, study, space("x=1,2,3")) == []


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
        judge = judge_of(config, folder / f"{number}-job", monitors, 16 * looks) or (lambda scores, nimg: None)
        try:
            for look in range(1, looks + 1):
                judge({"fd": score}, 16 * look)
            study.tell(number, score)
        except Pruned as reason:
            found[number] = look
            assert str(reason) == f"fd 9 at {0.016 * look:g} kimg is behind the other trials at that point"
            study.tell(number, state=TrialState.PRUNED)
    assert found == ended


MINE = ["lr=interval(0.1,0.9)", "loss=a,b", "n=range(2,9,2)"]
GOOD: dict[str, Any] = {"lr": 0.5, "loss": "a", "n": 4}
VALUES: dict[str, dict[str, Any]] = {
    "a word for a number": {"lr": "{_target_: os.system, command: touch marker}"},
    "a word that reads as the number": {"lr": "0.5"},
    "yes for a number": {"lr": True},
    "a number out of range": {"lr": 0.95},
    "another word": {"loss": "{_target_: evil.made}"},
    "a number between the steps": {"n": 5},
    "a broken number": {"n": 4.0},
    "a number that is none": {"lr": float("nan")},
    "a list": {"loss": ["a"]},
    "one more key": {"hydra.callbacks.x": "{_target_: evil.made}"},
}
FOLDERS = ["/etc", "..", ".", "", "../0-a", "0-a/b", "0-${oc.env:HOME}", "0-a'", "1-a", "0-a\n", "0-", 3, None]


@pytest.fixture
def left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any], object], list[int]]:
    """The numbers of those that are gone on with of a study with one trial that runs, whatever it says."""
    study = open_study(tmp_path, None, {"score": True})
    (tmp_path / ".study.id").write_text("mine")

    def found(params: dict[str, Any], job: object) -> list[int]:
        trial = create_trial(state=TrialState.RUNNING)
        trial.number, trial.params = 0, params
        trial.user_attrs = {"sweep": "mine", "job": job}
        monkeypatch.setattr(study, "get_trials", lambda **how: [trial])
        return [one.number for one in left_behind(tmp_path, study, space(*MINE))]

    return found


@pytest.mark.parametrize("case", VALUES)
def test_a_trial_of_other_values_is_not_gone_on_with(case: str, left: Callable, caplog: Any) -> None:
    """They would become the user's own words."""
    assert left(GOOD, "0-a") == left(GOOD, "0-lr-0.5_loss-a") == [0]
    assert left(GOOD | VALUES[case], "0-a") == left(GOOD | VALUES[case], "0-a") == []
    assert caplog.text.count("trial 0 is skipped: its values or its folder do not belong to this search") == 1


@pytest.mark.parametrize("job", FOLDERS)
def test_nor_is_one_that_lies_elsewhere(job: object, left: Callable) -> None:
    assert left(GOOD, job) == []


def test_a_word_in_the_journal_for_a_number_is_left_alone(tmp_path: Path) -> None:
    """As Optuna itself reads it."""
    study = open_study(tmp_path, None, {"score": True})
    trial = ask(tmp_path, StudyConfig.model_validate(SETTINGS), space("lr=interval(0.1,0.9)"))
    assert trial is not None
    trial.set_user_attr("job", "0-a")
    assert len(left_behind(tmp_path, study, space("lr=interval(0.1,0.9)"))) == 1
    journal = tmp_path / "study.journal"
    journal.write_text(journal.read_text().replace(repr(trial.params["lr"]), '"{_target_: os.system}"'))
    study = open_study(tmp_path)
    assert study.trials[0].params == {"lr": "{_target_: os.system}"}, "Optuna takes it"
    assert left_behind(tmp_path, study, space("lr=interval(0.1,0.9)")) == []


def test_what_is_queued_is_of_what_is_searched(tmp_path: Path) -> None:
    config, study = StudyConfig.model_validate(SETTINGS), open_study(tmp_path, None, {"score": True})
    for value in (0.95, "0.5", 0.25):
        study.enqueue_trial({"lr": value})
    trial = ask(tmp_path, config, space("lr=interval(0.1,0.9)"))
    assert trial is not None and trial.params == {"lr": 0.25} and states(tmp_path) == ["FAIL", "FAIL", "RUNNING"]
    study.enqueue_trial({"lr": "{_target_: os.system}"})
    with pytest.raises(GantoolError, match="gives no next trial .*: choose another hydra.sweep.dir"):
        ask(tmp_path, config, space("lr=interval(0.1,0.9)"))


@pytest.mark.parametrize("names", [None, [], ["a", "b"], [3], "a", {"a": 1}])
def test_a_journal_without_what_it_looks_at_is_one_line(names: object, tmp_path: Path) -> None:
    study = open_study(tmp_path, None, {"score": True})
    study.set_user_attr("objectives", names)
    with pytest.raises(GantoolError, match="does not record its objectives: choose another hydra.sweep.dir"):
        objectives_of(study)


def test_cmaes_unpickles_nothing_but_its_own_state(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    values: dict[str, BaseDistribution] = {"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1)}
    study = open_study(tmp_path, None, {"score": True})
    planted = {"cma:optimizer:0": pickle.dumps(Trap(marker)).hex()}
    given: dict[str, Any] = {"value": 1.0, "params": {"x": 0.5, "y": 0.5}, "distributions": values}
    for _ in range(12):
        study.add_trial(create_trial(**given, system_attrs=planted))
    config = StudyConfig.model_validate(SETTINGS | {"sampler": "cmaes"})
    with pytest.raises(
        GantoolError, match=r"study.sampler=cmaes kept in trial 11 is not its own \(it asks for .+touch"
    ):
        ask(tmp_path, config, space("x=interval(0,1)", "y=interval(0,1)"))
    assert not marker.exists()
    study.sampler = CmaEsSampler(n_startup_trials=1)
    study.ask(values)
    assert marker.exists(), "control: Optuna's own does"


@pytest.mark.parametrize("protocol", range(3, pickle.HIGHEST_PROTOCOL + 1))
def test_cmaes_goes_on_from_its_own_state(protocol: int) -> None:
    from gantool.sweeps.cmaes import CmaEs

    own = cmaes.CMA(mean=np.zeros(2), sigma=1.0, bounds=np.array([[-4.0, 4.0], [-4.0, 4.0]]), seed=1)
    for _ in range(3):
        own.tell([(x, float(x @ x)) for x in (own.ask() for _ in range(own.population_size))])
    sampler = CmaEs()
    parts = sampler._split_optimizer_str(pickle.dumps(own, protocol).hex())
    kinds: dict[str, BaseDistribution] = {"z": CategoricalDistribution(["a"])}
    trial = create_trial(value=1.0, params={"z": "a"}, distributions=kinds, system_attrs=dict(parts))
    found = sampler._restore_optimizer([trial])
    for one in (own, found):
        one._rng.seed(3)
    assert found.generation == 3 and own.ask() == pytest.approx(found.ask())


@pytest.mark.parametrize("line", ["[]", "{}", "3", "null", '{"op_code": 0}', '{"op_code": 4, "worker_id": "a"}', "no"])
def test_a_journal_that_is_none_is_one_line(line: str, tmp_path: Path) -> None:
    for objectives in (None, {"score": True}):
        (tmp_path / "study.journal").write_text(f"{line}\n")
        with pytest.raises(GantoolError, match=r"study.journal: the study cannot be opened \(.+\)"):
            open_study(tmp_path, None, objectives)
