"""features=auto: FID's features where they can be had, else those that come along; what a run began with, it keeps."""

import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from composing import typed
from extent import thorough
from gantool.cli.main import main
from gantool.data.download import answers
from gantool.errors import GantoolError
from gantool.metrics.efficientnet import EfficientNetFeatures
from gantool.metrics.inception import InceptionFeatures
from gantool.runs.features import choose
from runs import Composed, small, two_sides

NOWHERE = "http://127.0.0.1:9/weights.pth"
EFFICIENTNET = {"_target_": "gantool.metrics.efficientnet.EfficientNetFeatures"}


def publish(monkeypatch: pytest.MonkeyPatch, **changed: str) -> None:
    monkeypatch.setattr(InceptionFeatures, "published", replace(InceptionFeatures.published, **changed))


@pytest.fixture
def alone(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without weights and without internet."""
    monkeypatch.setenv("GANTOOL_CACHE", str(in_tmp / "cache"))
    publish(monkeypatch, url=NOWHERE)
    return in_tmp


def asked(choice: str = "auto") -> dict[str, Any]:
    """The composed node of a choice."""
    return typed(f"features={choice}").features


def features_of(run: Path) -> dict[str, Any]:
    return yaml.safe_load((run / ".hydra" / "config.yaml").read_text())["features"]


@thorough
def test_a_run_keeps_what_it_began_with(
    alone: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    root = two_sides(alone / "sides") / "trainA"
    looks = ["monitor=scores", "monitor.scores.every=1it", "monitor.scores.num=4", "score=is", "score.is.splits=1"]
    words = ["dataset=folder", f"dataset.root={root}", "dataset.resolution=16", *looks]
    run = Composed(alone, *words, model="mlp")
    caplog.set_level("INFO")
    run.train("run", rounds=1)
    told = [message for message in caplog.messages if "features=auto" in message]
    assert len(told) == 1 and "\n" not in told[0]
    assert "scores use efficientnet" in told[0] and "features=inception features.weights=FILE" in told[0]
    assert features_of(alone / "run") == EFFICIENTNET
    logged = [json.loads(line) for line in (alone / "run" / "metrics.jsonl").read_text().splitlines()]
    assert any("metrics/is_efficientnet" in line for line in logged)

    monkeypatch.setattr(InceptionFeatures, "why_not", classmethod(lambda cls, **_: None))  # now it could be had
    caplog.clear()
    run.train("run", rounds=2)  # the same command once more
    assert main(["train", f"resume={alone / 'run'}", "trainer.duration=3it"]) == 0
    assert main(["evaluate", f"run={alone / 'run'}", "score=is", "score.is.splits=1"]) == 0
    out = capfd.readouterr()
    assert "is_efficientnet" in out.out
    assert "features" not in " ".join([*caplog.messages, out.err]), "nothing is chosen, and nothing has changed"
    assert features_of(alone / "run") == EFFICIENTNET


def test_without_scores_nobody_asks(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(InceptionFeatures, "why_not", classmethod(lambda cls, **_: pytest.fail("it asked")))
    words = ["dataset=folder", f"dataset.root={two_sides(alone / 'sides') / 'trainA'}", "dataset.resolution=16"]
    assert main(small(alone / "run", *words, model="mlp", rounds=1)) == 0
    assert features_of(alone / "run").keys() == {"first", "otherwise"}


def test_the_first_is_taken_where_it_can_be_had(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose(asked()) == EFFICIENTNET
    assert choose(asked(), InceptionFeatures.__module__) == EFFICIENTNET
    assert choose(asked(), "gantool.metrics.inception.InceptionFeatures") == asked("inception")

    source = alone / "weights.pth"
    torch.save(nn.Linear(1, 1).state_dict(), source)
    publish(monkeypatch, url=source.as_uri(), sha256=InceptionFeatures.published.hash(source)[:8])
    assert choose(asked()) == asked("inception"), "fetched"
    publish(monkeypatch, url=NOWHERE)
    assert choose(asked()) == asked("inception"), "in the cache"
    InceptionFeatures.published.place.write_bytes(b"damaged")
    assert choose(asked()) == EFFICIENTNET
    given = typed("features=auto", "features.first.weights=file.pth").features
    assert choose(given) == given["first"], "a file that is given is never passed over"


@pytest.mark.parametrize("served", ["other bytes", None])
def test_what_cannot_be_fetched_after_all_is_done_without(
    served: str | None, alone: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    page = alone / "weights.pth"
    page.write_text(served or "")
    publish(monkeypatch, url=page.as_uri())
    caplog.set_level("INFO")
    assert choose(asked()) == EFFICIENTNET
    assert "invalid hash" in caplog.text and len(caplog.messages) == 1


def test_an_explicit_choice_is_not_replaced(alone: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for words in (["features=inception"], ["features=auto", "features.first.weights=gone.pth"]):
        assert main(["train", *words, "trainer.duration=1it"]) == 1
        error = capfd.readouterr().err.strip()
        assert "\n" not in error and "features=efficientnet" in error
    with pytest.raises(GantoolError, match="_target_=torch.nn.ReLU does not derive from gantool.metrics"):
        choose({**asked(), "otherwise": {"_target_": "torch.nn.ReLU"}})


def test_silence_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not answers(f"http://127.0.0.1:{silent.getsockname()[1]}/x", seconds=0.2)
    assert not answers(NOWHERE)
    assert not answers("http://name.invalid/x")
    assert answers(Path(__file__).as_uri())


def test_what_comes_along_can_always_be_had() -> None:
    assert EfficientNetFeatures.why_not() is None
