"""The scorer: its statistics, its cache, its protocol, and that it leaves the rest of the run alone."""

import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from gantool.data.image_set import ImageSet
from gantool.errors import GantoolError
from gantool.game import Batch, Game, Progress
from gantool.metrics.digits import DigitFeatures
from gantool.metrics.features import Features
from gantool.metrics.scorer import Scorer
from gantool.monitors.scores import Scores
from gantool.paths import conf_dir


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of this test's own."""
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path))
    return tmp_path


class Means(Features):
    """Ten features: the mean brightness of ten bands of rows. Counts the images it has seen."""

    name, score_names, num_features = "means", ("fd_means", "is_means"), 10
    weights_hash, resize = "00000000", "none"

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        self.seen += len(images)
        features = images.float().mean((1, 3)) / 64
        return features, 3 * features


def image_set(num_images: int, fingerprint: str = "f", labels: Tensor | None = None) -> ImageSet:
    """Random images (N, 1, 10, 4), sorted by brightness as files may be sorted by class."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (num_images, 1, 10, 4), generator=generator).sort(0).values.to(torch.uint8)
    return ImageSet(images, labels, ["dark", "bright"] if labels is not None else [], fingerprint, "bands")


def noise(seed: int = 0) -> Callable[[int], Tensor]:
    """A stand-in for a generator, with randomness of its own."""
    generator = torch.Generator().manual_seed(seed)
    return lambda count: torch.rand(count, 1, 10, 4, generator=generator) * 2 - 1


def test_distance_and_inception_score_are_the_textbook_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gantool.metrics.scorer.INCEPTION_SPLITS", 1)
    reals = image_set(301)
    scorer = Scorer(Means(), reals, num_samples=170, batch_size=50)
    scores, _ = scorer.score(noise())

    sample = noise()
    fakes = torch.cat([sample(count) for count in (50, 50, 50, 20)])
    x, y = (Means()(images)[0].double() for images in (reals.images, (fakes * 127.5 + 127.5).round().to(torch.uint8)))
    root = torch.linalg.eigvals(x.T.cov() @ y.T.cov()).sqrt().real.sum()
    distance = (x.mean(0) - y.mean(0)).square().sum() + x.T.cov().trace() + y.T.cov().trace() - 2 * root
    assert scores["fd_means"] == pytest.approx(distance.item(), rel=1e-6)

    p = (3 * y).softmax(1)
    whole = (p * (p / p.mean(0)).log()).sum(1).mean().exp().item()
    assert 1.1 < scores["is_means"] == pytest.approx(whole, rel=1e-6)


def test_floor_is_measured_as_the_generated_images_are() -> None:
    reals = image_set(400)
    scorer = Scorer(Means(), reals, num_samples=100, batch_size=64)
    _, protocol = scorer.score(noise())
    order = torch.randperm(400, generator=torch.Generator().manual_seed(0))
    others = ImageSet(reals.images[order[100:]], None, [], "others", "others")
    held_out = iter((reals.images[order[:100]].float() / 127.5 - 1).split(64))
    expected, _ = Scorer(Means(), others, num_samples=100, batch_size=64).score(lambda count: next(held_out))
    assert scorer.floor["fd_means"] == pytest.approx(expected["fd_means"], rel=1e-9)
    assert protocol["floor"] == {**scorer.floor, "num_held_out": 100, "num_real": 300}


def test_reals_are_measured_once(cache: Path) -> None:
    first = Scorer(Means(), image_set(101), num_samples=40)
    scores, protocol = first.score(noise())
    assert isinstance(first.features, Means) and first.features.seen == 101 + 40

    second = Scorer(Means(), image_set(101), num_samples=40)
    assert second.score(noise()) == (scores, protocol)
    assert second.score(noise()) == (scores, protocol)
    assert isinstance(second.features, Means) and second.features.seen == 40 + 40

    for other in (image_set(102), image_set(101, fingerprint="g")):
        Scorer(Means(), other, num_samples=40).prepare()
    assert len(list((cache / "statistics").iterdir())) == 3


def test_damaged_statistics_are_measured_again(cache: Path) -> None:
    scores, _ = Scorer(Means(), image_set(101), num_samples=40).score(noise())
    (file,) = (cache / "statistics").iterdir()
    file.write_bytes(file.read_bytes()[:-8])
    assert Scorer(Means(), image_set(101), num_samples=40).score(noise())[0] == scores


def test_scoring_is_deaf_to_autocast_and_leaves_randomness_alone() -> None:
    plain, cast = (Scorer(DigitFeatures(), image_set(300, name), num_samples=100) for name in ("plain", "cast"))
    expected, _ = plain.score(noise())
    state = torch.get_rng_state()
    with torch.autocast("cpu", torch.bfloat16):
        assert cast.score(noise())[0] == expected
    assert torch.equal(torch.get_rng_state(), state)


def test_one_rank_scores_without_the_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the other ranks are not here")

    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/ranks", rank=0, world_size=1)
    try:
        for meeting in ("all_gather", "all_reduce", "barrier"):
            monkeypatch.setattr(torch.distributed, meeting, refuse)
        Scorer(Means(), image_set(100), num_samples=40).score(noise())
    finally:
        torch.distributed.destroy_process_group()


def test_protocol_says_how() -> None:
    _, protocol = Scorer(Means(), image_set(100), num_samples=40, seed=7).score(noise())
    assert json.loads(json.dumps(protocol)) == protocol
    expected = {"extractor": "means", "weights_sha256": "00000000", "num_real": 100, "num_fake": 40, "seed": 7}
    assert expected.items() <= protocol.items()
    assert protocol["metrics"] == ["fd_means", "is_means"] and protocol["split"] == "bands all"
    assert protocol["warning"] is None
    assert "too few" in str(Scorer(Means(), image_set(100), num_samples=10).protocol()["warning"])


def test_tiny_sets() -> None:
    scores, protocol = Scorer(Means(), image_set(3), num_samples=2).score(noise())
    assert all(torch.isfinite(torch.tensor(value)) for value in scores.values())
    assert protocol["floor"] == {"num_held_out": 1, "num_real": 2}
    with pytest.raises(GantoolError, match="metrics=none"):
        Scorer(Means(), image_set(1))
    with pytest.raises(GantoolError, match="num_samples=1"):
        Scorer(Means(), image_set(10), num_samples=1)


def test_tells_how_long_it_will_take(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    clock = iter(range(0, 10**9, 3))  # three seconds between two looks
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    with caplog.at_level(logging.INFO):
        Scorer(Means(), image_set(1000), num_samples=100, batch_size=10).score(noise())
    real, *generated = caplog.messages
    assert real.startswith("scoring 1000 images through means takes about 5 min")
    assert not generated  # half a minute: not worth a word


def test_known_reals_need_no_torchmetrics_before_the_first_score(cache: Path) -> None:
    Scorer(Means(), image_set(101), num_samples=40).prepare()
    script = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from test_metrics_scorer import Means, Scorer, image_set\n"
        "Scorer(Means(), image_set(101), num_samples=40).prepare()\n"
        "assert 'torchmetrics' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parent.parent)


class Bands(Game):
    """Samples noise as bright as its label; keeps the labels it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.generators = nn.ModuleDict({"generator": nn.Linear(40, 40)})
        self.asked: list[Tensor] = []

    def sample(self, batch: Batch, generators: nn.ModuleDict) -> Tensor:
        if batch.labels is not None:
            self.asked.append(batch.labels)
        assert batch.images.min() >= -1 and batch.images.max() <= 1
        return generators["generator"](batch.randn(40)).tanh().view(-1, 1, 10, 4)


@pytest.mark.parametrize("labelled", [True, False])
def test_monitor_repeats_itself_and_changes_nothing(labelled: bool) -> None:
    labels = torch.tensor([0] * 900 + [1] * 100)
    scorer = Scorer(Means(), image_set(1000, labels=labels if labelled else None), num_samples=600, seed=3)
    monitor = Scores(scorer, interval=1000)
    game = Bands()
    before = {name: value.clone() for name, value in game.state_dict().items()}
    torch.manual_seed(11)
    state = torch.get_rng_state()
    first = monitor(game, game.generators, Progress())
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(12)
    assert monitor(game, game.generators, Progress(nimg=5)) == first
    assert game.training and all(torch.equal(value, before[name]) for name, value in game.state_dict().items())
    assert set(first.scalars) == {"metrics/fd_means", "metrics/is_means"}
    assert first.protocol["ema"] is True and first.protocol["seed"] == 3
    if labelled:
        assert sum(map(len, game.asked[:3])) == 600
        assert 0.06 < torch.cat(game.asked[:3]).float().mean() < 0.14  # as the data has them


def test_choices_have_the_same_keys() -> None:
    choices = {path.stem: OmegaConf.load(path) for path in (conf_dir() / "metrics").glob("*.yaml")}
    assert choices.keys() == {"auto", "digits", "inception", "none"}
    for name, choice in choices.items():
        assert set(choice) - {"defaults"} <= set(choices["auto"]), name
    assert set(choices["none"]) == set(choices["auto"])
