"""gantool evaluate per_class=true: the Fréchet distance of each class, by its name, and what it refuses."""

import json
import re
from pathlib import Path

import pytest
import torch

from gantool.cli.main import main
from gantool.data.mnist import Mnist5k
from gantool.metrics.digits import DigitFeatures
from gantool.metrics.embedding import Embedding
from gantool.metrics.scores import FrechetDistance
from gantool.runs.trained import load_run
from runs import train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A conditional run."""
    folder = tmp_path_factory.mktemp("per-class") / "run"
    train(folder, "model.conditional=true", model="mlp", rounds=1)
    train(folder, "model.conditional=true", model="mlp", rounds=2)
    return folder


def test_each_class_against_its_own(run: Path, capfd: pytest.CaptureFixture) -> None:
    words = ["score=[fd]", "num=400", "per_class=true"]
    assert main(["evaluate", f"run={run}", *words]) == 0
    out = capfd.readouterr().out
    (path,) = (run / "evaluated").rglob("*.json")
    result = json.loads(path.read_text())
    names = [f"fd_digits/{name}" for name in Mnist5k().class_names]
    assert list(result["scores"]) == ["fd_digits", *names] == list(result["floor"]) == list(result["margins"])
    assert all(any(line.split()[:1] == [name] for line in out.splitlines()) for name in names)
    assert "generated images of a class: its distance is unreliable (128 features need several times as many)" in out
    images = load_run(run).images()
    assert images.labels is not None
    labels = images.labels[torch.randperm(5000, generator=torch.Generator().manual_seed(0))[:400]]
    made = load_run(run).sample(400, labels=labels)
    fake, real = (Embedding(*DigitFeatures()(side)) for side in (made[labels == 3], images.images[images.labels == 3]))
    assert result["scores"][names[3]] == pytest.approx(FrechetDistance()(fake, real, 0), rel=1e-3)


def test_a_table_of_several_checkpoints_tells_which_is_which(run: Path, in_tmp: Path, capfd) -> None:
    assert main(["evaluate", f"run={run}", "checkpoint=all", "score=[fd]", "num=40", "per_class=true", "out=out"]) == 0
    (head,) = [line for line in capfd.readouterr().out.splitlines() if "distance of each class" in line]
    assert sorted(re.findall(r"run at (\S+) kimg", head)) == ["0.008", "0.016"]


def test_what_it_refuses(run: Path, in_tmp: Path, capfd: pytest.CaptureFixture) -> None:
    train(in_tmp / "plain", model="mlp", rounds=1)
    capfd.readouterr()
    for words, message in (
        ([f"run={in_tmp / 'plain'}", "score=[fd]"], "plain is not conditional"),
        ([f"run={run}", "score=[kd]"], "add fd to score="),
        ([f"run={run}", "score=[fd]", "num=10"], "fd_digits/1 needs at least 2 images a side, "),
        ([f"run=[{run},{in_tmp / 'plain'}]", "score=[fd]"], "its images have no labels"),
    ):
        assert main(["evaluate", *words, "per_class=true"]) == 1
        error = capfd.readouterr().err
        assert message in error and error.count("\n") == 1, error
