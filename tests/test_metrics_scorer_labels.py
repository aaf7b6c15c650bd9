"""The scorer and labels: a score that needs them beside others, and those that a generator is asked for."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gantool.errors import GantoolError
from gantool.metrics.digits import DigitFeatures
from gantool.metrics.scorer import Scorer
from gantool.metrics.scores import ClassificationAccuracy, FrechetDistance
from rows import Rows, reals, stripes


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache of this test's own."""
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path))


def test_accuracy_beside_other_scores() -> None:
    data, lessons = stripes(600, 0), stripes(200, 1)
    scores = {"fd": FrechetDistance(), "cas": ClassificationAccuracy(num_images=2000)}
    judge = Scorer(DigitFeatures(), scores, data, num=200)
    images, labels = lessons.images, lessons.labels
    assert labels is not None
    good = judge.score(zip(images.split(100), labels.split(100), strict=True))
    wrong = judge.score(zip(images.split(100), (1 - labels).split(100), strict=True))
    assert judge.names == ["fd_digits", "cas"] and judge.needs_labels == ["cas"] == judge.higher_is_better
    assert judge.floor["cas"] > 0.9 and good["cas"] > 0.9 and wrong["cas"] < 0.1
    assert good["fd_digits"] == wrong["fd_digits"]
    with pytest.raises(GantoolError, match="score=cas needs images with labels"):
        judge.score((part, None) for part in images.split(100))
    with pytest.raises(GantoolError, match="cas needs labels and stripes all has none"):
        Scorer(DigitFeatures(), scores, replace(data, labels=None), num=200)


def test_labels_follow_the_data() -> None:
    known = torch.arange(2500) // 300  # sorted by class; the last one is rarer
    data = replace(reals(2500), labels=known, class_names=list("012345678"))
    judge = Scorer(Rows(), {"fd": FrechetDistance()}, data, num=50, seed=3)
    labels, again = judge.labels(2500), judge.labels(6000)
    assert labels is not None and again is not None
    assert torch.equal(labels.bincount(), known.bincount()) and labels[:40].unique().numel() > 5
    assert torch.equal(again, labels.repeat(3)[:6000])
    order = torch.randperm(2500, generator=torch.Generator().manual_seed(3))
    assert torch.equal(labels, known[order])
    assert Scorer(Rows(), {"fd": FrechetDistance()}, reals(), num=50).labels(10) is None
