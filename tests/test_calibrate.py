"""gantool calibrate: says whether the published distance comes out, and plainly when it cannot be asked."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from gantool.cli.main import main
from gantool.commands import calibrate
from gantool.data.image_set import ImageSet
from gantool.metrics.embedding import Embedding
from gantool.metrics.features import Features
from gantool.metrics.inception import InceptionFeatures
from gantool.metrics.scores import FrechetDistance
from gantool.runs import calibration


class Colours(Features):
    """Stands for Inception, under its name and its weights' hash: mean colours."""

    name, num_features = "inception", 3
    weights_hash, resize = InceptionFeatures.published.sha256, "none"

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = images.float().mean((2, 3))
        return features, features

    def score_name(self, kind: str) -> str:
        return {"fd": "fid"}[kind]


@pytest.fixture
def sides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[ImageSet]:
    """Sixty training and forty test images in the place of CIFAR-10's."""
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path))
    made = []
    for split, count in (("train", 60), ("test", 40)):
        images = torch.randint(0, 256, (count, 3, 4, 4), generator=torch.Generator().manual_seed(count))
        made.append(ImageSet(images.to(torch.uint8), None, [], split, "cifar10", split))
    monkeypatch.setattr(calibration, "Cifar10", lambda root, split, download: split)
    monkeypatch.setattr(calibration, "prepare", lambda split: next(side for side in made if side.split == split))
    return made


def said(capfd: pytest.CaptureFixture, *words: str) -> str:
    code = main(["calibrate", *words])
    out, err = capfd.readouterr()
    assert code == int(bool(err)), err
    return err or out


HERE = ["features=digits", "features._target_=test_calibrate.Colours"]


def test_compares_with_the_published_distance(
    sides: list[ImageSet], capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    distance = FrechetDistance()(*(Embedding(*Colours()(side.images)) for side in sides), seed=0)
    found = f"fid of CIFAR-10, 60 train against 40 test images: {distance:.3f}"
    assert (
        said(capfd, *HERE)
        .strip()
        .endswith(f"{found}, but 3.15 was published: FID on this machine is not comparable with papers")
    )
    monkeypatch.setattr(calibrate, "PUBLISHED", distance + 0.01)
    assert said(capfd, *HERE).strip() == f"{found}; published: {distance + 0.01:.2f}"
    fewer = said(capfd, *HERE, "num=30")
    assert "30 train against 30 test images" in fewer and "not comparable" in fewer and "fewer images" in fewer
    monkeypatch.setattr(Colours, "weights_hash", "00000000")
    assert "not comparable with the published" in said(capfd, *HERE)


def test_missing_weights_are_one_line(sides: list[ImageSet], capfd: pytest.CaptureFixture) -> None:
    line = said(capfd, "features.weights=nowhere.pth")
    assert line.count("\n") == 1
    assert "no calibration, as the features are not at hand: cannot read the Inception weights nowhere.pth" in line
    assert "features.weights=FILE" in line


def test_missing_images_are_one_line(in_tmp: Path, capfd: pytest.CaptureFixture) -> None:
    line = said(capfd, *HERE, "root=nowhere", "download=false")
    assert line.count("\n") == 1 and "no CIFAR-10 in nowhere" in line and "or set download=true" in line
