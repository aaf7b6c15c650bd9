"""FID and Inception score agree with torch-fidelity, and bad weights are a one-line error before anything starts."""

import hashlib
import os
import pickle
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from extent import thorough
from gantool.data.image_set import ImageSet
from gantool.errors import GantoolError
from gantool.metrics.features import resized
from gantool.metrics.inception import InceptionFeatures
from gantool.metrics.scorer import Scorer
from gantool.metrics.scores import FrechetDistance, InceptionScore, KernelDistance

NUM_IMAGES = 8  # on each side; Inception takes 0.2 s for each


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file of random weights in the layout of torch-fidelity's, strong enough that images differ in their logits."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3 as Network

    patch = pytest.MonkeyPatch()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        patch.setattr(nn.Module, "load_state_dict", lambda *_: None)  # the constructor insists on a file
        patch.setattr(torch, "load", lambda *_, **__: {})
        network = Network("inception-v3-compat", ["2048"], "none")
        patch.undo()
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        nn.init.normal_(network.fc.weight, std=2)
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(network.state_dict(), path)
    yield path
    path.unlink()


class Images(torch.utils.data.Dataset):
    """uint8 images for torch-fidelity."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.images[index]


def colours(seed: int, contrast: float) -> Tensor:
    """Random smooth colour images, uint8 (NUM_IMAGES, 3, 32, 32)."""
    coarse = torch.rand(NUM_IMAGES, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    smooth = nn.functional.interpolate(coarse, (32, 32), mode="bicubic")
    return ((smooth - 0.5) * contrast * 255 + 128).clamp(0, 255).to(torch.uint8)


@thorough
def test_agrees_with_torch_fidelity(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch_fidelity import calculate_metrics

    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path))
    reals, fakes = colours(0, contrast=1.0), colours(1, contrast=0.7)
    expected = calculate_metrics(
        input1=Images(fakes),
        input2=Images(reals),
        fid=True,
        isc=True,
        kid=True,
        isc_splits=1,
        kid_subset_size=NUM_IMAGES,
        kid_subsets=1,
        feature_extractor_weights_path=str(weights),
        batch_size=4,
        save_cpu_ram=True,  # no loader processes
        cuda=False,
        cache=False,
        verbose=False,
    )
    # One split, so that the order of the images is no matter.
    scores = {"fd": FrechetDistance(), "is": InceptionScore(splits=1), "kd": KernelDistance()}
    data = ImageSet(reals, None, [], "r", "r")
    scorer = Scorer(InceptionFeatures(weights), scores, data, num=NUM_IMAGES, batch_size=4)
    found, protocol = scorer.score((part, None) for part in fakes.split(4)), scorer.protocol()
    assert list(found) == ["fid", "inception_score", "kid"]
    assert found["fid"] == pytest.approx(expected["frechet_inception_distance"], rel=1e-3)
    assert found["inception_score"] - 1 == pytest.approx(expected["inception_score_mean"] - 1, rel=1e-3)
    assert found["inception_score"] > 1.05
    assert found["kid"] == pytest.approx(expected["kernel_inception_distance_mean"], rel=1e-3)
    assert protocol["extractor"] == "inception" and "unreliable" in str(protocol["warning"])
    assert protocol["weights_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()[:8]


@thorough
def test_clean_resizing_is_that_of_pil(weights: Path) -> None:
    images = colours(0, contrast=2.0)[:2]
    for size in (32, 400):  # enlarged and reduced
        shown = nn.functional.interpolate(images, (size, size), mode="nearest")
        expected = [
            [Image.fromarray(channel.float().numpy()).resize((299, 299), Image.Resampling.BICUBIC) for channel in image]
            for image in shown
        ]
        expected = torch.tensor(np.array([[np.asarray(channel) for channel in image] for image in expected]))
        assert (resized(shown, 299) - expected.clamp(0, 255)).abs().max() < 0.01

    clean, legacy = InceptionFeatures(weights, resize="clean"), InceptionFeatures(weights)
    ready = torch.randint(0, 256, (2, 3, 299, 299), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(clean(ready)[0], legacy(ready)[0], atol=1e-3), "nothing to resize"
        assert not torch.allclose(clean(images)[0], legacy(images)[0], atol=1e-2)
        assert torch.equal(clean(images[:1, :1])[0], clean(images[:1, :1].expand(-1, 3, -1, -1))[0])
    assert clean.resize != legacy.resize
    names = ["fid_clean", "inception_score_clean", "kid_clean", "recall_inception_clean"]
    assert [clean.score_name(kind) for kind in ("fd", "is", "kd", "recall")] == names
    assert [legacy.score_name(kind) for kind in ("fd", "kd", "recall")] == ["fid", "kid", "recall_inception"]
    with pytest.raises(GantoolError, match="resize=bicubic: choose legacy or clean"):
        InceptionFeatures(weights, resize="bicubic")  # type: ignore[arg-type]


def test_grey_images_are_repeated(weights: Path) -> None:
    network = InceptionFeatures(weights)
    grey = colours(0, contrast=1.0)[:2, :1]
    with torch.no_grad():
        features, logits = network(grey)
        assert torch.equal(features, network(grey.expand(-1, 3, -1, -1))[0])
    assert features.shape == (2, 2048) and logits.shape == (2, 1008) and features.dtype == torch.float32


class Bomb:
    """Makes a folder when unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.target),)


def test_bad_files_are_one_line_with_the_fix(tmp_path: Path) -> None:
    files = {name: tmp_path / f"{name}.pth" for name in ("absent", "layout", "number", "text", "cut", "empty", "bomb")}
    torch.save(nn.Linear(3, 3).state_dict(), files["layout"])
    torch.save(3, files["number"])
    files["text"].write_text("<html>Not Found</html>\n")
    files["cut"].write_bytes(files["layout"].read_bytes()[:-100])
    files["empty"].touch()
    files["bomb"].write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    for path in [*files.values(), tmp_path]:
        with pytest.raises(
            GantoolError,
            match=r"features\.weights=FILE, or choose features=efficientnet",
        ) as caught:
            InceptionFeatures(path)
        assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    assert not (tmp_path / "exploded").exists()


def test_downloads_once_and_checks(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path))
    monkeypatch.setattr(InceptionFeatures, "published", replace(InceptionFeatures.published, url=weights.as_uri()))
    with pytest.raises(GantoolError, match="hash"):
        InceptionFeatures()
    assert not list((tmp_path / "weights").glob("*.pth"))

    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    published = replace(InceptionFeatures.published, sha256=digest[:8])
    monkeypatch.setattr(InceptionFeatures, "published", published)
    assert InceptionFeatures().weights_hash == digest[:8]
    (cached,) = (tmp_path / "weights").glob("*.pth")
    cached.write_bytes(b"damaged")
    assert published.file(None) == cached and cached.read_bytes() == weights.read_bytes()
    assert replace(published, url=f"file:///nowhere/{cached.name}").file(None) == cached


def test_without_network_it_fails_fast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path))
    monkeypatch.setattr(
        InceptionFeatures, "published", replace(InceptionFeatures.published, url="http://127.0.0.1:9/weights.pth")
    )
    start = time.monotonic()
    with pytest.raises(
        GantoolError, match=r"downloading Inception weights.*features\.weights=FILE, or choose features=efficientnet"
    ):
        InceptionFeatures()
    assert time.monotonic() - start < 5
