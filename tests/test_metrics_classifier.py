"""The small classifier: it learns, is fitted once, repeats itself; features made of it."""

from pathlib import Path

import pytest
import torch

from gantool.data.mnist import Mnist5k
from gantool.errors import GantoolError
from gantool.metrics import classifier
from gantool.metrics.classifier import ClassifierFeatures, SmallResNet, accuracy, fit
from rows import stripes

CPU = torch.device("cpu")


def test_learns_repeats_itself_and_leaves_randomness_alone() -> None:
    state = torch.get_rng_state()
    with torch.no_grad():  # as where scores are measured
        first = fit(stripes(200, 0), num_images=2000, seed=0, device=CPU)
    assert torch.equal(torch.get_rng_state(), state)
    again, other = (fit(stripes(200, 0), num_images=2000, seed=seed, device=CPU) for seed in (0, 1))
    test = stripes(200, 1)
    assert accuracy(first, test, CPU) > 0.95
    assert torch.equal(first.head.weight, again.head.weight) and not torch.equal(first.head.weight, other.head.weight)
    assert not first.training and not any(p.requires_grad for p in first.parameters())


@pytest.mark.parametrize("steps", range(11))
def test_takes_any_number_of_images(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "BATCH_SIZE", 2)
    network = fit(stripes(4, 0), num_images=2 * steps + 1, seed=0, device=CPU)
    assert all(bool(p.isfinite().all()) for p in network.parameters())


@pytest.mark.parametrize(("channels", "size"), [(1, 4), (1, 28), (3, 32), (3, 65), (1, 128)])
def test_takes_any_size(channels: int, size: int) -> None:
    network = SmallResNet(channels, size, 5).eval()
    features, logits = network(torch.rand(2, channels, size, size))
    assert features.shape == (2, network.num_features) and logits.shape == (2, 5)
    assert network.num_features <= 128 and sum(p.numel() for p in network.parameters()) < 1_500_000


def test_is_fitted_once_and_says_how_good_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_cache_of_digits: None
) -> None:
    first = ClassifierFeatures(Mnist5k(resolution=12), num_images=8000)
    first.prepare()
    monkeypatch.setattr(classifier, "fit", None)  # a second fit would fail
    again = ClassifierFeatures(Mnist5k(resolution=12), num_images=8000)
    again.prepare()
    assert first.weights_hash == again.weights_hash and len(first.weights_hash) == 8
    assert first.class_names == tuple("0123456789") and first.score_name("fd") == "fd_classifier"
    assert first.details == again.details and first.details["classifier_data"] == "mnist-5k all"
    measured = first.details["classifier_accuracy"]
    assert isinstance(measured, float) and 0.7 < measured <= 1
    images = torch.randint(0, 256, (3, 1, 12, 12), dtype=torch.uint8)
    with torch.no_grad():
        features, logits = first(images)
        assert torch.equal(features, again(images)[0])
        assert features.shape == (3, first.num_features) and logits.shape == (3, 10)
        assert torch.allclose(first(images.expand(-1, 3, -1, -1))[0], features, atol=1e-4)
        assert first(torch.zeros(2, 1, 40, 40, dtype=torch.uint8))[0].shape == features[:2].shape


@pytest.fixture
def shared_cache_of_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path))


def test_needs_labels() -> None:
    source = Mnist5k()
    source.class_names = []
    with pytest.raises(GantoolError, match="has no labels"):
        ClassifierFeatures(source)
    with pytest.raises(GantoolError, match="num_images=0"):
        ClassifierFeatures(Mnist5k(), num_images=0)
