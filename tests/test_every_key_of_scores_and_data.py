"""A setting is never ignored: the keys of scores, features and published data sets (see test_every_key)."""

from pathlib import Path

import pytest

from extent import some, thorough
from presets import files_of
from test_every_key import MLP, QUIET, SMALL, ignored

SCORES = [
    ("score.cas.", "score=cas score.cas.num_images=256 model.conditional=true"),
    ("score.", "score=[precision,recall,density,coverage]"),
    ("features.", "score=fd features=classifier features.num_images=256"),
]


@pytest.mark.parametrize(("of", "words"), some(SCORES, 1), ids=some([words for _, words in SCORES], 1))
def test_every_key_of_a_score_counts(of: str, words: str, in_tmp: Path) -> None:
    looks = ["monitor=[scores]", "monitor.scores.every=1it", "monitor.scores.num=20", "trainer.watchdog.action=off"]
    assert ignored([*SMALL, *MLP, *looks, *words.split()], (of,), in_tmp, {"score.cas.num_images": 512}) == []


SETS = [
    ("celeba", {"dataset.resolution": 24, "dataset.channels": 1, "dataset.attributes": ["Male"]}),
    ("mnist", {"dataset.resolution": 32}),
    ("cifar10", {"dataset.resolution": 24, "dataset.channels": 1}),
]


@pytest.mark.parametrize(("dataset", "others"), SETS)
@thorough
def test_every_key_of_a_published_set_counts(
    dataset: str, others: dict[str, object], shared_data: Path, in_tmp: Path
) -> None:
    root = files_of(dataset, shared_data, in_tmp)
    side = {"mnist": 28, "cifar10": 32, "celeba": 16}[dataset]
    words = [*SMALL, *MLP, *QUIET, f"dataset={dataset}", f"dataset.root={root}", f"dataset.resolution={side}"]
    splits = "test", "train"  # the first is used most, and the smaller
    if dataset == "celeba":
        splits = "train", "test"
    else:
        words.append("model.conditional=true")
    words.append(f"dataset.split={splits[0]}")
    assert ignored(words, ("dataset.",), in_tmp, {"dataset.split": splits[1], **others}) == []
