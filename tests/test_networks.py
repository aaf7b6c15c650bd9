"""Shapes, types, initialisation, norms and labels of the networks."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gantool.errors import GantoolError
from gantool.networks import dcgan, infogan, mlp, resnet
from gantool.networks.layers import DoublingConv2d, FromPixel, HalvingConv2d, ToPixel


@pytest.mark.parametrize("resolution", [32, 64, 128])
@pytest.mark.parametrize("upsampling", dcgan.UPSAMPLES)
def test_dcgan_makes_and_scores_images(resolution: int, upsampling: str) -> None:
    generator = dcgan.Generator(latent_dim=16, width=4, upsampling=upsampling, resolution=resolution, channels=3)
    images = generator(torch.randn(2, 16))
    assert images.shape == (2, 3, resolution, resolution) and images.abs().max() <= 1
    assert dcgan.Discriminator(width=4, resolution=resolution, channels=3)(images).shape == (2, 1)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(4, 6), (8, 10)])
def test_convolutions_that_double_and_halve(size: tuple[int, int], layout: torch.memory_format) -> None:
    double, halve = DoublingConv2d(3, 5).double(), HalvingConv2d(3, 5).double()
    x = torch.randn(2, 3, *size, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    for layer, other in (
        (double, lambda: F.conv2d(F.interpolate(x, scale_factor=2.0), double.weight, double.bias, padding=1)),
        (halve, lambda: F.avg_pool2d(F.conv2d(x, halve.weight, halve.bias, padding=1), 2)),
    ):
        made, expected = layer(x), other()
        torch.testing.assert_close(made, expected)
        inputs = [x, *layer.parameters()]
        found, wanted = (torch.autograd.grad(y.square().sum(), inputs) for y in (made, expected))
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("norm", ["batch", "layer", "instance", "spectral", "none"])
@pytest.mark.parametrize("network", ["dcgan", "mlp"])
def test_every_norm_trains_in_bf16_and_returns_float32(network: str, norm: str) -> None:
    module, size = (dcgan, {"width": 4}) if network == "dcgan" else (mlp, {"hidden": [16, 16]})
    shape = {"resolution": 32, "channels": 1, "norm": norm, **size}
    generator, discriminator = module.Generator(latent_dim=8, **shape), module.Discriminator(**shape)
    with torch.autocast("cpu", torch.bfloat16):
        images = generator(torch.randn(4, 8))
        score = discriminator(images)
    assert images.dtype == score.dtype == torch.float32
    score.sum().backward()
    missing = [n for net in (generator, discriminator) for n, p in net.named_parameters() if p.grad is None]
    assert not missing


def test_spectral_norm_is_the_largest_singular_value() -> None:
    torch.manual_seed(0)
    network = dcgan.Discriminator(resolution=32, channels=1, width=8, norm="spectral").train()
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 4
    for layer in convolutions:
        for _ in range(500):
            layer.weight  # noqa: B018  # one power iteration, as in a training forward
        singular = torch.linalg.svdvals(layer.weight.detach().flatten(1))
        assert singular[0].item() == pytest.approx(1.0, abs=2e-3)


def test_dcgan_starts_as_the_paper_says() -> None:
    torch.manual_seed(0)
    network = dcgan.Generator(latent_dim=100, resolution=64, channels=3)
    weights = torch.cat([m.weight.flatten() for m in network.modules() if isinstance(m, nn.ConvTranspose2d)])
    scales = torch.cat([m.weight.flatten() for m in network.modules() if isinstance(m, nn.BatchNorm2d)])
    assert weights.mean().abs() < 1e-3 and weights.std().item() == pytest.approx(0.02, rel=0.01)
    assert scales.mean().item() == pytest.approx(1, abs=0.01) and scales.std().item() == pytest.approx(0.02, rel=0.2)
    widths = [m.out_channels for m in network.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert widths == [512, 256, 128, 64, 3]


@pytest.mark.parametrize("num_classes", [0, 3])
@pytest.mark.parametrize("module", [dcgan, resnet], ids=["dcgan", "resnet"])
def test_a_discriminator_can_see_how_much_its_images_differ(module, num_classes: int) -> None:
    shape = {"resolution": 32, "channels": 1, "norm": "none", "width": 4, "num_classes": num_classes}
    torch.manual_seed(0)
    alone, grouped = module.Discriminator(**shape).eval(), module.Discriminator(minibatch_std=4, **shape).eval()
    image, labels = torch.randn(1, 1, 32, 32), torch.zeros(4, dtype=torch.long)
    same, mixed = image.expand(4, -1, -1, -1), torch.cat([image, torch.randn(3, 1, 32, 32)])
    torch.testing.assert_close(alone(same, labels)[0], alone(mixed, labels)[0])
    assert (grouped(same, labels)[0] - grouped(mixed, labels)[0]).abs() > 1e-6
    assert grouped.features(mixed, labels).shape == (4, grouped.feature_dim)
    assert grouped.feature_dim > alone.feature_dim


@pytest.mark.parametrize("condition", ["projection", "concat"])
@pytest.mark.parametrize("network", ["dcgan", "mlp"])
def test_labels_reach_both_networks(network: str, condition: str) -> None:
    module, size = (dcgan, {"width": 4}) if network == "dcgan" else (mlp, {"hidden": [16, 16]})
    shape = {"resolution": 32, "channels": 1, "num_classes": 3, **size}
    generator = module.Generator(latent_dim=8, **shape).eval()
    discriminator = module.Discriminator(condition=condition, **shape).eval()
    z, zeros, ones = torch.randn(2, 8), torch.zeros(2, dtype=torch.long), torch.ones(2, dtype=torch.long)
    images = generator(z, zeros)
    assert not torch.equal(images, generator(z, ones))
    assert not torch.equal(discriminator(images, zeros), discriminator(images, ones))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: dcgan.Generator(latent_dim=8, resolution=48, channels=1), "dataset.resolution=48.*32, 64 or 128"),
        (lambda: dcgan.Discriminator(resolution=32, channels=1, norm="bach"), "did you mean 'batch'"),
        (lambda: mlp.Discriminator(resolution=32, channels=1, hidden=[4], condition="x"), "projection, concat"),
        (lambda: infogan.Discriminator(resolution=30, channels=1), "dataset.resolution=30.*multiples of 4"),
    ],
)
def test_what_a_network_cannot_be_is_named(make, message: str) -> None:
    with pytest.raises(GantoolError, match=message):
        make()


@pytest.mark.parametrize("norm", ["batch", "layer", "instance", "spectral", "none"])
@pytest.mark.parametrize("num_classes", [0, 3])
def test_infogan_makes_and_scores_digits_with_every_norm(num_classes: int, norm: str) -> None:
    shape = {"resolution": 28, "channels": 1, "num_classes": num_classes, "norm": norm, "width": 4}
    generator, discriminator = infogan.Generator(latent_dim=20, **shape), infogan.Discriminator(**shape)
    labels = torch.tensor([0, 1]) if num_classes else None
    with torch.autocast("cpu", torch.bfloat16):
        images = generator(torch.randn(2, 20), labels)
        score = discriminator(images, labels)
    assert images.shape == (2, 1, 28, 28) and images.abs().max() <= 1 and images.dtype == torch.float32
    assert score.shape == (2, 1) and score.dtype == torch.float32
    assert discriminator.features(images, labels).shape == (2, discriminator.feature_dim)
    score.sum().backward()
    assert not [n for net in (generator, discriminator) for n, p in net.named_parameters() if p.grad is None]


def test_infogan_has_the_layers_of_its_table() -> None:
    """Chen 2016, table 1; slopes of 0.1, images in [0, 1] inside."""
    generator = infogan.Generator(latent_dim=74, resolution=28, channels=1)
    discriminator = infogan.Discriminator(resolution=28, channels=1).eval()
    kinds = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
    sizes = [
        [tuple(m.weight.shape) for m in net.modules() if isinstance(m, kinds)] for net in (generator, discriminator)
    ]
    assert sizes[0] == [(1024, 74), (6272, 1024), (128, 64, 4, 4), (64, 1, 4, 4)]
    assert sizes[1] == [(64, 1, 4, 4), (128, 64, 4, 4), (1024, 6272), (1, 1024)]
    assert {m.negative_slope for m in discriminator.modules() if isinstance(m, nn.LeakyReLU)} == {0.1}
    black = torch.full((1, 1, 28, 28), -1.0)
    assert not discriminator.layers[0](torch.zeros(1, 1, 28, 28)).any()  # biases start at 0
    torch.testing.assert_close(discriminator.features(black), discriminator.layers(torch.zeros(1, 1, 28, 28)))


@pytest.mark.parametrize("bias", [True, False])
def test_maps_of_one_pixel_are_those_of_convolutions(bias: bool) -> None:
    """Forward, and second derivatives as a gradient penalty takes them."""
    torch.manual_seed(0)
    kinds = [(ToPixel, nn.functional.conv2d, (3, 6, 4, 4)), (FromPixel, nn.functional.conv_transpose2d, (3, 6, 1, 1))]
    for kind, convolve, shape in kinds:
        layer = kind(6, 5, 4, bias=bias).double().to(memory_format=torch.channels_last)
        x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
        found = []
        for maps in (layer(x), convolve(x, layer.weight, layer.bias)):
            [slope] = torch.autograd.grad(maps.square().sum(), x, create_graph=True)
            found.append([maps, slope, torch.autograd.grad(slope.square().sum(), layer.weight)[0]])
        for ours, theirs in zip(*found, strict=True):
            torch.testing.assert_close(ours, theirs)
