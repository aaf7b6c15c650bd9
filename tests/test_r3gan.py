"""R3GAN's relativistic loss and networks against the formulas of its paper; what model=r3gan and loss=r3gan bring."""

import math
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from composing import typed
from extent import thorough
from gantool.errors import GantoolError
from gantool.losses import Relativistic
from gantool.networks import r3gan
from gantool.regularizers import input_gradient
from runs import train

SMALL = {"width": 16, "full_until": 8, "blocks": 1}


def test_relativistic_pairs_each_fake_with_a_real() -> None:
    real, fake = torch.randn(50, 1, dtype=torch.float64), torch.randn(50, 1, dtype=torch.float64)
    torch.testing.assert_close(Relativistic().discriminator(real, fake), -torch.sigmoid(real - fake).log().mean())
    torch.testing.assert_close(Relativistic().generator(fake, real), -torch.sigmoid(fake - real).log().mean())


def test_relativistic_pushes_the_right_way() -> None:
    real, fake = torch.tensor([[0.3], [-0.4]]).requires_grad_(), torch.tensor([[0.1], [0.2]]).requires_grad_()
    on_real, on_fake = torch.autograd.grad(Relativistic().discriminator(real, fake), (real, fake))
    assert (on_real < 0).all() and (on_fake > 0).all()
    (on_fake,) = torch.autograd.grad(Relativistic().generator(fake, real), fake)
    assert (on_fake < 0).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("resolution", [4, 8, 32, 64])
def test_makes_and_scores_images(resolution: int, channels: int) -> None:
    shape: dict[str, Any] = {"resolution": resolution, "channels": channels, "width": 64, "full_until": 8, "blocks": 1}
    generator, discriminator = r3gan.Generator(latent_dim=6, **shape).eval(), r3gan.Discriminator(**shape)
    images = generator(torch.randn(2, 6))
    assert images.shape == (2, channels, resolution, resolution) and images.abs().max() <= 1
    assert discriminator.features(images).shape == (2, discriminator.feature_dim)
    assert discriminator(images).shape == (2, 1)


@pytest.mark.parametrize(
    ("resolution", "width", "full_until", "widths"),
    [
        (32, 768, 32, [768] * 4),  # the paper's CIFAR-10, FFHQ at 64 and FFHQ at 256 pixels
        (64, 768, 32, [768, 768, 768, 768, 384]),
        (256, 768, 32, [768, 768, 768, 768, 384, 192, 96]),
        (32, 64, 4, [64, 32, 16, 8]),
    ],
)
def test_widths(resolution: int, width: int, full_until: int, widths: list[int]) -> None:
    assert r3gan.level_widths(resolution, width, full_until) == widths


@pytest.mark.parametrize(("resolution", "width"), [(48, 64), (2, 64), (32, 20), (256, 16), (32, 0)])
def test_what_cannot_be_built_is_named(resolution: int, width: int) -> None:
    with pytest.raises(GantoolError, match="resolution=|multiples of 8"):
        r3gan.level_widths(resolution, width, 8)


def resampled(x: Tensor, *, up: bool) -> Tensor:
    """By (1, 3, 3, 1) with zeros outside, from the definition: insert zeros, filter, drop."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    kernel = (taps[:, None] * taps)[None, None]
    n, c, h, w = x.shape
    if up:
        sparse = x.new_zeros(n, c, 2 * h, 2 * w)
        sparse[:, :, ::2, ::2] = 4 * x
        full = F.conv2d(F.pad(sparse, (2, 1, 2, 1)).view(n * c, 1, 2 * h + 3, -1), kernel)
        return full.view(n, c, 2 * h, 2 * w)
    full = F.conv2d(F.pad(x, (1, 1, 1, 1)).view(n * c, 1, h + 2, -1), kernel)
    return full.view(n, c, h - 1, w - 1)[:, :, ::2, ::2]


def test_resampling_against_its_definition() -> None:
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(r3gan.Upsample()(x), resampled(x, up=True))
    torch.testing.assert_close(r3gan.Downsample()(x), resampled(x, up=False))


def test_starts_as_the_paper_says() -> None:
    torch.manual_seed(0)
    network = r3gan.Discriminator(resolution=32, channels=3, width=128, full_until=32, blocks=2)
    blocks = [m for m in network.modules() if isinstance(m, r3gan.Block)]
    gain = math.sqrt(2 / (1 + 0.2**2)) * 8 ** (-1 / 4)  # eight blocks of three layers
    for block in blocks:
        first, _, grouped, _, last = block.layers
        assert isinstance(first, nn.Conv2d) and isinstance(grouped, nn.Conv2d) and isinstance(last, nn.Conv2d)
        assert first.out_channels == 256 and grouped.groups == 16 and last.out_channels == 128
        assert first.weight.std().item() == pytest.approx(gain / 128**0.5, rel=0.05)
        assert grouped.weight.std().item() == pytest.approx(gain / (16 * 9) ** 0.5, rel=0.05)
        assert not last.weight.any() and last.bias is None
        x = torch.randn(1, 128, 4, 4)
        assert torch.equal(block(x), x)
    assert len(blocks) == 8 and not any(isinstance(m, nn.modules.batchnorm._NormBase) for m in network.modules())


@pytest.mark.parametrize("num_classes", [0, 3])
def test_trains_in_bf16_under_penalties_and_labels_matter(num_classes: int) -> None:
    torch.manual_seed(0)
    shape: dict[str, Any] = {"resolution": 16, "channels": 1, "num_classes": num_classes, **SMALL}
    generator, discriminator = r3gan.Generator(latent_dim=8, **shape), r3gan.Discriminator(**shape)
    networks = (generator, discriminator)
    for block in [m for network in networks for m in network.modules() if isinstance(m, r3gan.Block)]:
        nn.init.normal_(list(block.parameters())[-1], 0, 0.1)  # as after some steps
    z, zeros, ones = torch.randn(4, 8), torch.zeros(4, dtype=torch.long), torch.ones(4, dtype=torch.long)
    with torch.autocast("cpu", torch.bfloat16):
        images = generator(z, zeros)
        score = discriminator(images, zeros)
        penalty = input_gradient(discriminator, images, zeros).square().sum(1).mean()
    assert images.dtype == score.dtype == penalty.dtype == torch.float32
    (score.sum() + penalty).backward()
    assert not [n for net in networks for n, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    for made in (generator(z, zeros) - generator(z, ones), discriminator(images, zeros) - discriminator(images, ones)):
        assert made.any() == (num_classes > 0)


def test_a_discriminator_may_leave_the_class_to_an_auxiliary() -> None:
    network = r3gan.Discriminator(resolution=8, channels=1, num_classes=3, condition="none", **SMALL)
    images = torch.randn(2, 1, 8, 8)
    assert torch.equal(network(images, torch.tensor([0, 1])), network(images, torch.tensor([2, 2])))
    with pytest.raises(GantoolError, match=r"discriminator.condition=concat.*projection, none"):
        r3gan.Discriminator(resolution=8, channels=1, condition="concat", **SMALL)


@thorough
def test_the_model_brings_its_loss_and_another_loss_can_be_asked_for(in_tmp: Path) -> None:
    loss = train(in_tmp / "own", model="r3gan", rounds=1)["config"]["loss"]
    assert loss["_target_"].endswith("Relativistic") and list(loss["regularizers"]) == ["r1", "r2"]
    words = ["loss.regularizers.r1.gamma=0.3", "optimizer.lr=1e-3"]
    config = train(in_tmp / "gamma", *words, model="r3gan", rounds=1)["config"]
    assert config["loss"]["regularizers"]["r2"]["gamma"] == 0.3, "one gamma for both"
    config = train(in_tmp / "dcgan", "loss=r3gan", rounds=1)["config"]
    assert config["model"]["discriminator"]["norm"] == "none", "R1 and R2 want no batch norm"
    loss = train(in_tmp / "hinge", "loss=hinge", model="r3gan", rounds=1)["config"]["loss"]
    assert loss["_target_"].endswith("Hinge") and not loss["regularizers"]


def test_schedules_in_the_configuration_are_told_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        told = typed("model=r3gan", "trainer.ema_half_life={_target_:gantool.schedules.Ramp,start:0,end:1kimg}")
        plain = told.model_dump(by_alias=True, exclude_unset=True)
    ramps = (
        plain["optimizer"]["beta2"],
        plain["loss"]["regularizers"]["r2"]["gamma"],
        plain["trainer"]["ema_half_life"],
    )
    assert all(ramp["_target_"] == "gantool.schedules.Ramp" for ramp in ramps)
