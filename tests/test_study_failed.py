"""Trials of a search that failed."""

from pathlib import Path

from optuna.trial import TrialState

from gantool.cli.main import main
from gantool.config.schema import StudyConfig
from gantool.sweeps.space import combinations
from gantool.sweeps.study import ask, enqueue, open_study
from test_study import RATE, SETTINGS, searching, space, states


def test_a_combination_that_failed_is_tried_again_by_the_same_command(tmp_path: Path) -> None:
    config = StudyConfig.model_validate(SETTINGS | {"sampler": "grid", "trials": 40})
    study, wanted = open_study(tmp_path, None, {"score": True}), space("x=1,2", "y=range(1,3)")
    ends = {("1", 1): TrialState.COMPLETE, ("1", 2): TrialState.PRUNED}
    tried = []
    for _ in range(3):
        enqueue(study, combinations(wanted))
        while (trial := ask(tmp_path, config, wanted)) is not None:
            tried.append((trial.params["x"], trial.params["y"]))
            state = ends.get(tried[-1], TrialState.FAIL)
            study.tell(trial.number, 1.0 if state == TrialState.COMPLETE else None, state=state)
    again = [("2", 1), ("2", 2)]
    assert tried == [("1", 1), ("1", 2), *again * 3]
    assert states(tmp_path) == ["COMPLETE", "PRUNED", *["FAIL"] * 6]


def test_what_a_search_says_of_trials_that_failed(stand_in: None, in_tmp: Path, capfd) -> None:
    fails = "trainer.seed=14"
    assert main(searching(in_tmp / "a", RATE, "study.trials=1", fails)) == 1
    assert (
        "1 trial: 1 fail\ntrials that failed are not tried again: study.trials=2 adds as many" in capfd.readouterr().out
    )
    words = searching(in_tmp / "b", "optimizer.lr=1e-3,1e-4", "study.sampler=grid", fails)
    for count in (2, 4):
        assert main(words) == 1
        assert f"{count} trials: {count} fail\n" in (out := capfd.readouterr().out) and "not tried again" not in out
