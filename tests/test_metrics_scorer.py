"""The scorer: counts, floor, labels, protocol, a score of one's own, what it refuses, and what it leaves alone."""

import json
import logging
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from gantool.data.image_set import ImageSet
from gantool.errors import GantoolError
from gantool.metrics.digits import DigitFeatures
from gantool.metrics.embedding import CPU, Embedding, embed
from gantool.metrics.score import Score
from gantool.metrics.scorer import Scorer
from gantool.metrics.scores import (
    ClassificationAccuracy,
    Coverage,
    Density,
    FrechetDistance,
    FrechetDistanceInfinity,
    InceptionScore,
    KernelDistance,
    Precision,
    Recall,
)
from gantool.paths import conf_dir
from rows import Rows, blocks, noise, reals

KINDS: dict[str, type[Score]] = {
    "fd": FrechetDistance,
    "kd": KernelDistance,
    "is": InceptionScore,
    "precision": Precision,
    "recall": Recall,
    "density": Density,
    "coverage": Coverage,
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of this test's own."""
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path))
    return tmp_path


def scorer(data: ImageSet, num: int, *kinds: str, **settings) -> Scorer:
    return Scorer(Rows(), {kind: KINDS[kind]() for kind in kinds or KINDS}, data, num=num, batch_size=50, **settings)


def seen(scorer: Scorer) -> int:
    assert isinstance(scorer.features, Rows)
    return scorer.features.seen


def embedded(images: torch.Tensor) -> Embedding:
    return embed(Rows(), blocks(images), CPU)


def test_all_reals_are_the_reference_and_the_floor_is_held_out() -> None:
    data, fakes = reals(), noise(100, 1)
    judge = scorer(data, 100)
    scores = judge.score(blocks(fakes))
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    held_out, others = (embedded(data.images[rows]) for rows in (order[:100], order[100:]))
    for kind, score in KINDS.items():
        expected = score()(embedded(fakes), embedded(data.images), 0)
        floor = score()(held_out, others, 0)
        assert scores[f"{kind}_rows"] == pytest.approx(expected, rel=1e-9), kind
        assert judge.floor[f"{kind}_rows"] == pytest.approx(floor, rel=1e-9), kind
    assert list(scores) == judge.names == [f"{kind}_rows" for kind in KINDS] == list(judge.floor)
    assert judge.higher_is_better == [f"{kind}_rows" for kind in KINDS if kind not in ("fd", "kd")]
    assert judge.protocol()["num_floor"] == [100, 200] and judge.protocol()["num_real"] == 300


def test_num_real_leaves_the_floor_and_the_scores_one_reference() -> None:
    data = reals()
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    judge = scorer(data, 60, num_real=100)
    scores = judge.score(blocks(data.images[order[:60]]))
    assert scores == judge.floor, "the held-out images, given as if they were generated"
    assert judge.protocol()["num_floor"] == [60, 100] and judge.protocol()["warning"] is None
    expected = FrechetDistance()(embedded(data.images[order[:60]]), embedded(data.images[order[200:]]), 0)
    assert scores["fd_rows"] == pytest.approx(expected, rel=1e-9)
    assert seen(judge) == 160 + 60

    overlapping = scorer(data, 150, num_real=250).protocol()
    assert overlapping["num_floor"] == [150, 150]
    counts = "the floor compares two halves of 150, the scores 150 images with 250"
    assert counts in str(overlapping["warning"])


def test_warnings() -> None:
    assert scorer(reals(1000), 20).protocol()["warning"] is None
    assert "two halves of 50, " in str(scorer(reals(100), 80).protocol()["warning"])
    many = "8 features need several times as many"
    few = scorer(reals(1000), 8, "fd").protocol()["warning"]
    assert few == f"only 8 generated images: fd_rows is unreliable ({many}); take more"
    half = str(scorer(reals(14), 5000, "fd").protocol()["warning"])
    assert half.startswith(f"only 14 real images: fd_rows is unreliable ({many}); compare runs on these images with")
    assert half.endswith("; the floor compares two halves of 7, the scores 5,000 images with 14")
    assert scorer(reals(1000), 8, "precision").protocol()["warning"] is None
    for num, told in ((40, "only 4 images are drawn for fd_infinity_rows: "), (200, None)):
        both = {"fd": FrechetDistance(), "fd_infinity": FrechetDistanceInfinity()}
        warning = Scorer(Rows(), both, reals(1000), num=num).warning
        assert warning == (told and f"{told}fd_infinity_rows is unreliable ({many}); take more")


def test_the_same_images_give_the_same_numbers_whatever_surrounds_them() -> None:
    fakes = noise(100, 1)
    first = scorer(reals(), 100)
    scores = first.score(blocks(fakes))
    assert seen(first) == 300 + 100
    state = torch.get_rng_state()
    assert first.score(blocks(fakes)) == scores
    second = scorer(reals(), 100)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        assert second.score(blocks(fakes)) == scores
    assert seen(second) == 100, "the reals came from the cache"
    assert second.protocol() == first.protocol() and torch.equal(torch.get_rng_state(), state)
    other = scorer(reals(), 100, seed=1)
    assert other.score(blocks(fakes))["is_rows"] != scores["is_rows"]


def test_a_network_is_deaf_to_autocast() -> None:
    fakes = noise(40, 1)
    plain, cast = (Scorer(DigitFeatures(), {"fd": FrechetDistance()}, reals(100, n), num=40) for n in ("a", "b"))
    expected = plain.score(blocks(fakes))
    with torch.autocast("cpu", torch.bfloat16):
        assert cast.score(blocks(fakes)) == expected and cast.floor == plain.floor


class Brightness(Score):
    """A user's: how much brighter the features are, and a careless draw."""

    def __call__(self, fake: Embedding, real: Embedding, seed: int) -> float:
        return float(fake.features.mean() - real.features.mean() + 1e-3 * torch.rand(()))


class Contrast(Score):
    """Another user's, of the images."""

    higher_is_better = needs_images = True
    of_features = False

    def __init__(self, power: float = 1.0) -> None:
        self.power = power

    def __call__(self, fake: Embedding, real: Embedding, seed: int) -> float:
        assert fake.images is not None and real.images is not None and fake.labels is None
        return float((fake.images.float().std() / real.images.float().std()) ** self.power)


def test_a_score_of_ones_own_needs_nothing_but_a_call() -> None:
    data, dark = reals(), noise(60, 1, top=128)
    judge = Scorer(Rows(), {"brightness": Brightness(), "contrast": Contrast(2.0)}, data, num=60)
    state = torch.get_rng_state()
    scores = judge.score(blocks(dark))
    assert torch.equal(torch.get_rng_state(), state) and judge.score(blocks(dark)) == scores
    assert judge.names == ["brightness_rows", "contrast"] and judge.higher_is_better == ["contrast"]
    assert scores["brightness_rows"] == pytest.approx(-1, abs=0.05) and abs(judge.floor["brightness_rows"]) < 0.1
    assert scores["contrast"] == pytest.approx(0.25, abs=0.02) and judge.floor["contrast"] == pytest.approx(1, abs=0.1)
    settings = [Scorer(Rows(), {"contrast": Contrast(p)}, data, num=60).protocol()["scores"] for p in (1.0, 2.0)]
    assert settings[0] != settings[1] == {"contrast": {"class": "test_metrics_scorer.Contrast", "power": 2.0}}


def test_the_protocol_is_json_and_tells_results_apart() -> None:
    protocol = scorer(reals(), 100, seed=7).protocol()
    assert json.loads(json.dumps(protocol)) == protocol
    expected = {"extractor": "rows", "weights_sha256": "00000000", "num_fake": 100, "num_real": 300, "seed": 7}
    assert expected.items() <= protocol.items() and protocol["split"] == "noise all"
    floor = protocol["floor"]
    assert isinstance(floor, dict) and floor.keys() == {f"{kind}_rows" for kind in KINDS}
    known: dict[str, Score] = {kind: score() for kind, score in KINDS.items()}
    other_k, other_class = known | {"precision": Precision(4)}, known | {"fd": Brightness()}
    others = [
        scorer(reals(), 100, seed=8),
        scorer(reals(), 99, seed=7),
        scorer(reals(), 100, "fd", seed=7),
        scorer(reals(), 100, seed=7, num_real=200),
        scorer(replace(reals(), split="test"), 100, seed=7),
        scorer(replace(reals(), images=reals().images.expand(-1, 3, -1, -1)), 100, seed=7),
        scorer(replace(reals(), rows=torch.tensor([[1, 0], [2, 0]])), 100, seed=7),
        *(Scorer(Rows(), chosen, reals(), num=100, seed=7) for chosen in (other_k, other_class)),
    ]
    told = [json.dumps({**other.protocol(), "floor": None}) for other in others]
    assert len({json.dumps({**protocol, "floor": None}), *told}) == len(others) + 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num": 9}, "num=9: is_rows needs at least 10 images a side, 9 are too few"),
        ({"num": 1, "scores": {"fd": FrechetDistance()}}, "num=1: fd_rows needs at least 2"),
        ({"num": 40, "scores": {"precision": Precision(40)}}, "precision_rows needs at least 41 images a side, 40 are"),
        ({"num": 200, "scores": {"density": Density(150)}}, "density_rows needs at least 151.*150 real ones for the"),
        ({"num": 100, "num_real": 301}, "num_real=301: noise all has 300 images"),
        ({"num": 100, "num_real": 3}, "needs at least 10 images a side, 3 are too few"),
        ({"num": 100, "scores": {}}, "score=fd"),
    ],
)
def test_mistakes_are_told_before_any_work(settings: dict, message: str) -> None:
    features = Rows()
    with pytest.raises(GantoolError, match=message) as caught:
        Scorer(features, image_set=reals(), **{"scores": {k: score() for k, score in KINDS.items()}, **settings})
    assert features.seen == 0 and "\n" not in str(caught.value)


def test_other_counts_than_said_are_a_bug() -> None:
    with pytest.raises(ValueError, match="90 images were given, not 100"):
        scorer(reals(), 100).score(blocks(noise(90, 1)))


def test_one_rank_scores_without_the_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the other ranks are not here")

    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/ranks", rank=0, world_size=1)
    try:
        for meeting in ("all_gather", "all_reduce", "barrier"):
            monkeypatch.setattr(torch.distributed, meeting, refuse)
        scorer(reals(), 40).score(blocks(noise(40, 1)))
    finally:
        torch.distributed.destroy_process_group()


def test_tells_how_long_it_will_take(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    clock = iter(range(0, 10**9, 3))  # three seconds between two looks
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    with caplog.at_level(logging.INFO):
        scorer(reals(5000), 100, "fd").score(blocks(noise(100, 1)))
    assert [line for line in caplog.messages if "takes about" in line] == [
        "scoring 5000 images through rows takes about 5 min (fewer: num, num_real)"
    ], "and not for ten seconds"


def test_every_choice_of_scores_is_one_node_of_its_name() -> None:
    choices = {path.stem: OmegaConf.load(path) for path in (conf_dir() / "score").glob("*.yaml")}
    assert choices.pop("none") == {}
    assert choices.keys() == {*KINDS, "cas", "fd_infinity"}
    for kind, choice in choices.items():
        assert list(choice) == [kind]
        node = dict(OmegaConf.select(choice, kind))
        score = {**KINDS, "cas": ClassificationAccuracy, "fd_infinity": FrechetDistanceInfinity}[kind]
        assert node.pop("_target_") == f"gantool.metrics.scores.{score.__name__}"
        assert score(**node).details == score().details == node, "all settings are there, at their defaults"
