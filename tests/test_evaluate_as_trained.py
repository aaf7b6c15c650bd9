"""gantool evaluate without further keys: the scores of the run's training as it had them, and what is not finite."""

import json
import math
from pathlib import Path

import pytest
import torch

from gantool.cli.main import main
from gantool.metrics.digits import DigitFeatures
from gantool.metrics.embedding import Embedding
from gantool.metrics.score import Score
from gantool.runs.features import USUAL
from runs import train
from test_evaluate import evaluated

SCORED = ["monitor=scores", "monitor.scores.num=60", "trainer.log_every=1it"]


class Ratio(Score):
    """Of things that are not there."""

    def __init__(self, value: str = "infinite", parts: int = 10) -> None:
        self.value, self.parts = value, parts

    def __call__(self, fake: Embedding, real: Embedding, seed: int) -> float:
        return {"infinite": math.inf, "undefined": math.nan}[self.value]


def logged(run: Path) -> dict:
    """The last line of a run's log with scores."""
    lines = [json.loads(line, parse_constant=pytest.fail) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if "protocol" in line][-1]


def test_a_run_gets_its_own_scores_and_the_usual_ones(in_tmp: Path) -> None:
    run = in_tmp / "run"
    train(
        run, "score=[fd_infinity,is]", "score.fd_infinity.points=5", "score.is.splits=2", *SCORED, model="mlp", rounds=1
    )
    before, found = logged(run), evaluated(run)["scores"]
    assert found.keys() == {f"{kind}_digits" for kind in (*USUAL, "fd_infinity")}
    for name in ("fd_infinity_digits", "is_digits"):
        assert found[name] == pytest.approx(before[f"metrics/{name}"], rel=1e-5)
    assert evaluated(run, "score=[fd,is]")["scores"]["is_digits"] != pytest.approx(found["is_digits"], rel=1e-6)


def test_runs_without_labels_beside_others_have_no_score_of_labels(in_tmp: Path) -> None:
    """In either order; of one run whose training had it, it is measured."""
    with_labels, without = in_tmp / "with", in_tmp / "without"
    train(
        with_labels,
        "score=[fd,cas]",
        "score.cas.num_images=256",
        "model.conditional=true",
        *SCORED,
        model="mlp",
        rounds=1,
    )
    train(without, "score=fd", *SCORED, model="mlp", rounds=1)
    for runs in ((with_labels, without), (without, with_labels)):
        assert main(["evaluate", f"run=[{runs[0]},{runs[1]}]"]) == 0
        (path,) = (without / "evaluated").rglob("*.json")
        assert json.loads(path.read_text())["scores"].keys() == {f"{kind}_digits" for kind in USUAL}


def test_features_without_classes_have_no_score_of_classes(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = in_tmp / "run"
    train(run, "score=fd", *SCORED, model="mlp", rounds=1)
    monkeypatch.setattr(DigitFeatures, "has_classes", False)
    for words in ([], ["score.precision.k=7"]):
        assert evaluated(run, *words)["scores"].keys() == {f"{kind}_digits" for kind in USUAL if kind != "is"}


def test_settings_of_scores_that_are_not_chosen(in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = in_tmp / "run"
    train(run, "score=fd", *SCORED, model="mlp", rounds=1)
    found = evaluated(run, "score.precision.k=7")
    assert '"k": 7' in json.dumps(found["protocol"]) and len(found["scores"]) == len(USUAL)
    for words in (["score=fd", "score.precision.k=7"], ["score.cas.num_images=100"]):
        assert main(["evaluate", f"run={run}", *words]) == 1
        assert "is not measured; add it to score=[...]" in capfd.readouterr().err


@pytest.mark.parametrize(("value", "parts"), [("infinite", 10), ("undefined", 10), ("undefined", 0)])
def test_a_score_may_be_without_a_number(value: str, parts: int, in_tmp: Path, capfd) -> None:
    run = in_tmp / "run"
    own = f"+score.ratio={{_target_: test_evaluate_as_trained.Ratio, value: {value}, parts: {parts}}}"
    train(run, "score=fd", own, *SCORED, model="mlp", rounds=1)
    assert logged(run)["metrics/ratio_digits"] is None and logged(run)["protocol"]["floor"]["ratio_digits"] is None
    capfd.readouterr()
    for _ in range(2):  # the second time it reads the first
        assert main(["evaluate", f"run={run}", "trust=true"]) == 0
        assert f" {'inf' if value == 'infinite' else 'nan'} " in capfd.readouterr().out
    assert torch.isfinite(torch.tensor(logged(run)["metrics/fd_digits"]))
