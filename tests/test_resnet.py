"""Residual networks: shapes, labels, bf16, spectral norm, and the cheap order of the shortcuts."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from composing import typed
from gantool.errors import GantoolError
from gantool.networks import resnet


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("resolution", [32, 64, 128])
def test_makes_and_scores_images(resolution: int, channels: int) -> None:
    generator = resnet.Generator(latent_dim=16, width=2, resolution=resolution, channels=channels)
    images = generator(torch.randn(2, 16))
    assert images.shape == (2, channels, resolution, resolution) and images.abs().max() <= 1
    discriminator = resnet.Discriminator(width=2, resolution=resolution, channels=channels)
    assert discriminator.features(images).shape == (2, discriminator.feature_dim)
    assert discriminator(images).shape == (2, 1)


@pytest.mark.parametrize("norm", ["spectral", "layer", "none"])
def test_trains_in_bf16_and_labels_matter(norm: str) -> None:
    torch.manual_seed(0)
    generator = resnet.Generator(latent_dim=8, resolution=32, channels=1, num_classes=3, width=2)
    discriminator = resnet.Discriminator(norm=norm, resolution=32, channels=1, num_classes=3, width=2)
    for part in generator.modules():
        if isinstance(part, nn.Embedding):
            nn.init.normal_(part.weight)  # they start alike for every class
    z, zeros, ones = torch.randn(4, 8), torch.zeros(4, dtype=torch.long), torch.ones(4, dtype=torch.long)
    with torch.autocast("cpu", torch.bfloat16):
        images = generator(z, zeros)
        score = discriminator(images, zeros)
    assert images.dtype == score.dtype == torch.float32
    score.sum().backward()
    assert not [n for net in (generator, discriminator) for n, p in net.named_parameters() if p.grad is None]
    generator.eval()
    discriminator.eval()
    assert not torch.equal(generator(z, zeros), generator(z, ones))
    assert not torch.equal(discriminator(images, zeros), discriminator(images, ones))


def test_every_weight_has_a_spectral_norm() -> None:
    network = resnet.Discriminator(resolution=32, channels=1, num_classes=3, width=2).train()
    layers = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear, nn.Embedding))]
    assert len(layers) == 12  # two a block, two shortcuts, head and projection
    assert all(is_parametrized(layer, "weight") for layer in layers), "of test_networks"


def test_shortcuts_commute_with_resampling() -> None:
    block = resnet.DownBlock(3, 5, 5, "none", halve=True, first=False)
    nn.init.zeros_(block.second.weight)
    assert block.second.bias is not None
    nn.init.zeros_(block.second.bias)
    x = torch.randn(2, 3, 8, 8)
    assert torch.allclose(block(x), F.avg_pool2d(block.shortcut(x), 2), atol=1e-6)


def test_other_sizes_are_refused() -> None:
    with pytest.raises(GantoolError, match="32, 64 or 128"):
        resnet.Generator(latent_dim=8, resolution=48, channels=1)


@pytest.mark.parametrize(
    ("resolution", "layout", "weights", "last"),
    [  # mimicry (Lee & Town 2020), sngan_64.py and sngan_128.py; BigGAN-PyTorch (Brock 2019), BigGAN.py, without labels
        (64, "sngan", 10_141_441, 2),
        (128, "sngan", 29_017_857, 4),
        (64, "biggan", 19_542_721, 4),
        (128, "biggan", 38_419_137, 4),
    ],
)
def test_a_discriminator_has_the_layout_of_its_authors(resolution: int, layout: str, weights: int, last: int) -> None:
    shape: dict[str, Any] = {"resolution": resolution, "channels": 3, "norm": "none", "layout": layout}
    with torch.device("meta"):  # shapes without numbers
        network = resnet.Discriminator(width=64, **shape)
    assert sum(weight.numel() for weight in network.parameters()) == weights
    narrow = resnet.Discriminator(width=1, **shape)
    assert narrow.blocks(torch.zeros(1, 3, resolution, resolution)).shape == (1, 16, last, last)


def test_the_image_starts_with_less_gain_than_blocks() -> None:
    """Glorot's bound, sqrt(6 / (fan in + fan out)), times sqrt 2 in the 3x3 convolutions of blocks alone: Miyato 2018's
    gen_models/resnet_32.py."""
    network = resnet.Generator(latent_dim=128, resolution=32, channels=3)
    block = network.blocks[0]
    assert isinstance(block, resnet.UpBlock)
    bounds = {network.image: 6 / (9 * 256 + 9 * 3), block.first: 12 / (9 * 512), block.shortcut: 6 / 512}
    for layer, squared in bounds.items():
        assert layer.weight.abs().max().item() == pytest.approx(squared**0.5, rel=2e-3)


def test_a_mean_over_the_last_map_is_the_sum_by_its_area() -> None:
    torch.manual_seed(0)
    network = resnet.Discriminator(resolution=32, channels=3, norm="none", layout="sngan")
    images = torch.randn(2, 3, 32, 32)
    summed = network.features(images)
    network.pooling = "mean"
    torch.testing.assert_close(network.features(images), summed / 64)  # 8x8 pixels
    with pytest.raises(GantoolError, match="pooling=max: choose one of sum, mean"):
        resnet.Discriminator(resolution=32, channels=3, pooling="max")


@pytest.mark.parametrize(
    ("words", "pooling"),
    [
        (["model=resnet", "loss=wgan-gp"], "mean"),  # gan_cifar_resnet.py of Gulrajani 2017
        (["model=resnet", "loss=hinge"], "sum"),  # dis_models/snresnet_32.py of Miyato 2018
        (["experiment=cifar10/wgan-gp"], "mean"),
        (["experiment=cifar10/sngan"], "sum"),
        (["model=resnet", "loss=wgan-gp", "recipe.pooling=sum"], "sum"),
    ],
)
def test_the_loss_says_how_a_map_becomes_a_score(words: list[str], pooling: str) -> None:
    assert typed(*words).model.node["discriminator"]["pooling"] == pooling
