"""The translators and PatchGAN: shapes, what a patch sees, initialisation, and noise."""

import pytest
import torch
from torch import nn

from gantool.errors import GantoolError
from gantool.networks.norms import NORMS, InstanceNorm
from gantool.networks.patchgan import PatchGAN
from gantool.networks.translators import Reflect, ResNet, UNet


@pytest.mark.parametrize("resolution", [32, 96, 128])
@pytest.mark.parametrize("network", [ResNet, UNet])
def test_translators_keep_the_shape(network: type[nn.Module], resolution: int) -> None:
    images = network(resolution=resolution, channels=3, width=2)(torch.randn(2, 3, resolution, resolution))
    assert images.shape == (2, 3, resolution, resolution) and images.abs().max() <= 1


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("network", [ResNet, UNet])
def test_every_norm_trains_in_bf16_and_returns_float32(network: type[nn.Module], norm: str) -> None:
    generator = network(resolution=32, channels=3, width=4, norm=norm, dropout=0.5)
    discriminator = PatchGAN(resolution=32, channels=3, width=4, norm=norm)
    with torch.autocast("cpu", torch.bfloat16):
        images = generator(torch.randn(2, 3, 32, 32))
        score = discriminator(images)
    assert images.dtype == score.dtype == torch.float32
    score.square().sum().backward()
    assert not [n for net in (generator, discriminator) for n, p in net.named_parameters() if p.grad is None]


@pytest.mark.parametrize(("depth", "patch"), [(0, 1), (1, 16), (2, 34), (3, 70), (4, 142)])
def test_a_score_sees_a_patch_of_the_published_size(depth: int, patch: int) -> None:
    """The pixels that move the score in the middle; without norms, which see all of an image."""
    network = PatchGAN(resolution=256, channels=1, width=1, depth=depth, norm="none")
    for parameter in network.parameters():
        nn.init.constant_(parameter, 0.1)
    image = torch.rand(1, 1, 256, 256, requires_grad=True)
    scores = network(image)
    scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2].backward()
    assert image.grad is not None
    rows = image.grad[0, 0].any(1).nonzero().flatten()
    assert int(rows[-1] - rows[0]) + 1 == patch


def test_published_layouts() -> None:
    """At the papers' settings; test_parameter_counts has their weights."""
    with torch.device("meta"):  # shapes without numbers
        patchgan, unet = PatchGAN(resolution=256, channels=3), UNet(resolution=256, channels=3)
        blocks = [len(ResNet(resolution=side, channels=3).blocks) for side in (256, 128)]
    assert [m.out_channels for m in patchgan.modules() if isinstance(m, nn.Conv2d)] == [64, 128, 256, 512, 1]
    assert PatchGAN(resolution=256, channels=3, width=1)(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 30, 30)
    assert blocks == [9, 6] and len(unet.down) == len(unet.up) == 8


def test_networks_start_as_the_papers_say() -> None:
    torch.manual_seed(0)
    for network in (ResNet(resolution=64, channels=3, width=16), PatchGAN(resolution=64, channels=3, width=32)):
        weights = torch.cat([p.flatten() for p in network.parameters() if p.ndim == 4])
        assert weights.mean().abs() < 1e-3 and weights.std().item() == pytest.approx(0.02, rel=0.01)


@pytest.mark.parametrize("channels_last", [False, True])
def test_instance_norm_is_what_it_is_called_and_can_be_differentiated_twice(channels_last: bool) -> None:
    x = torch.randn(3, 2, 3, 4, dtype=torch.float64)
    x = x.to(memory_format=torch.channels_last) if channels_last else x
    norm = InstanceNorm(2).double()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    mean, std = x.mean((2, 3), keepdim=True), (x.var((2, 3), keepdim=True, unbiased=False) + 1e-5).sqrt()
    expected = (x - mean) / std * norm.weight[:, None, None] + norm.bias[:, None, None]
    assert torch.allclose(norm(x), expected) and torch.allclose(norm.eval()(x), expected)
    assert torch.autograd.gradgradcheck(norm, x[:2].detach().requires_grad_())


def test_a_reflecting_border_is_the_same_in_deterministic_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(2, 3, 8, 9)
    plain = Reflect(3)(x)
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    assert torch.equal(plain, Reflect(3)(x)) and plain.shape == (2, 3, 14, 15)


@pytest.mark.parametrize("network", [ResNet, UNet])
def test_dropout_is_the_noise_even_in_eval_mode(network: type[nn.Module]) -> None:
    images = torch.randn(1, 3, 32, 32)
    noisy, plain = (network(resolution=32, channels=3, width=8, dropout=rate).eval() for rate in (0.5, 0.0))
    assert not torch.equal(noisy(images), noisy(images))
    assert torch.equal(plain(images), plain(images))


def test_what_a_network_cannot_be_is_named() -> None:
    for make, message in (
        (lambda: ResNet(resolution=30, channels=3), "dataset.resolution=30: .* multiples of 4"),
        (lambda: UNet(resolution=36, channels=3), "dataset.resolution=36: .* multiples of 8"),
        (lambda: UNet(resolution=32, channels=3, norm="bach"), "did you mean 'batch'"),
        (lambda: PatchGAN(resolution=32, channels=3, depth=4), "discriminator.depth=4: choose 0 to 3 at 32 pixels"),
    ):
        with pytest.raises(GantoolError, match=message):
            make()
