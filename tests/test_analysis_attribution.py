"""Attributions of scores whose pixels' shares are known, completeness, and networks that mix the images of a batch."""

import numpy as np
import pytest
import torch
from torch import Tensor

from gantool.analysis.attribution import METHODS, attribute, each_alone
from gantool.analysis.figures import heat_colours, overlay
from gantool.networks import dcgan, progan

WEIGHT = torch.randn(2, 8, 8, generator=torch.Generator().manual_seed(0))


def linear(images: Tensor, labels: Tensor | None) -> Tensor:
    """(N,) scores: a weight for each pixel, and the label on top."""
    return (images * WEIGHT).sum((1, 2, 3)) + (0 if labels is None else labels)


def test_a_linear_score_comes_from_each_pixel_as_its_weight_says() -> None:
    torch.manual_seed(0)
    image, baseline = torch.rand(2, 8, 8) * 2 - 1, torch.full((2, 8, 8), -1.0)
    found = attribute(linear, image, torch.tensor(5), baseline, steps=8)
    shares = (WEIGHT * (image - baseline)).sum(0)
    torch.testing.assert_close(found.maps["integrated gradients"], shares)
    torch.testing.assert_close(found.maps["saliency"], WEIGHT.sum(0))
    assert found.score == pytest.approx(float((image * WEIGHT).sum()) + 5, abs=1e-4)
    assert abs(found.completeness_error) < 1e-4
    squares = torch.zeros(2, 8, 8)  # sum of what each square takes away, and how many cover a pixel
    for top in range(7):
        for left in range(7):
            place = (slice(top, top + 2), slice(left, left + 2))
            squares[0][place] += shares[place].sum()
            squares[1][place] += 1
    torch.testing.assert_close(found.maps["occlusion"], squares[0] / squares[1], rtol=1e-4, atol=1e-4)


def test_integrated_gradients_add_up_and_labels_count() -> None:
    torch.manual_seed(0)
    network = dcgan.Discriminator(resolution=32, channels=1, num_classes=3, width=4).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.mul_(3)
    image, baseline = torch.rand(1, 32, 32) * 2 - 1, torch.zeros(1, 32, 32)
    images, labels = image[None].repeat(3, 1, 1, 1), torch.arange(3)
    score, mixes = each_alone(network, images, labels)
    assert not mixes and torch.allclose(score(images, labels), network(images, labels)[:, 0])
    found = [attribute(score, image, label, baseline, steps=256) for label in labels]
    assert len({round(one.score, 4) for one in found}) == 3
    for one in found:
        assert set(one.maps) == set(METHODS) and all(heat.shape == (32, 32) for heat in one.maps.values())
        assert abs(one.completeness_error) < 0.02 * abs(one.score - one.baseline_score)


def test_an_image_is_scored_alone_where_the_network_mixes_a_batch() -> None:
    torch.manual_seed(0)
    network = progan.Discriminator(resolution=32, channels=1, width=4).eval()
    images = torch.rand(4, 1, 32, 32) * 2 - 1
    score, mixes = each_alone(network, images, None)
    assert mixes and not torch.allclose(score(images, None), network(images)[:, 0])
    assert torch.allclose(score(images, None)[2], network(images[2:3])[0, 0])


def test_saliency_is_smooth_where_the_gradient_is_noise() -> None:
    torch.manual_seed(0)
    image = torch.rand(1, 8, 8) * 2 - 1
    found = attribute(lambda x, y: (40 * x).sin().sum((1, 2, 3)) + 3 * x.sum((1, 2, 3)), image, None, image * 0 - 1, 2)
    gradient = 40 * (40 * image).cos() + 3
    assert float((found.maps["saliency"] - 3).abs().mean()) < 0.25 * float((gradient - 3).abs().mean())


@pytest.mark.parametrize("pixel", [-1.0, -0.5, 0.0, 0.5, 1.0])
def test_heat_is_seen_on_every_grey(pixel: float) -> None:
    image = torch.full((1, 3, 1), pixel)
    for sign in (-1, 1):
        heat = sign * torch.tensor([[0.0], [0.1], [1.0]])
        bare, weak, strong = overlay(image, heat, 1.0).astype(int)[:, 0]
        assert abs(weak - bare).max() > 35 and abs(strong - bare).max() > 130
        assert strong.argmax() == (0 if sign > 0 else 2), "red raises the score, blue lowers it"


def test_patch_scores_are_averaged() -> None:
    images = torch.rand(3, 1, 8, 8)
    score, _ = each_alone(lambda x, y: x[:, :, ::4, ::4], images, None)
    torch.testing.assert_close(score(images, None), images[:, 0, ::4, ::4].mean((1, 2)))


@pytest.mark.parametrize("shape", [(1, 8, 40), (3, 40, 8), (2, 3, 16)])
def test_images_of_any_shape_are_covered(shape: tuple[int, int, int]) -> None:
    weight = torch.rand(shape[1:], generator=torch.Generator().manual_seed(0))
    found = attribute(lambda x, y: (x * weight).sum((1, 2, 3)), torch.ones(shape), None, -torch.ones(shape), steps=2)
    assert all(heat.shape == shape[1:] for heat in found.maps.values()) and abs(found.completeness_error) < 1e-2
    assert (found.maps["occlusion"] > 0).all(), "every pixel is covered, and counts"


def test_a_colour_bar_has_the_colours_of_the_maps() -> None:
    for signed, places in ((True, (-1.0, 0.0, 1.0)), (False, (0.0, 1.0))):
        bar, low = heat_colours(signed=signed), -1 if signed else 0
        for place in places:
            map_ = overlay(torch.zeros(1, 1, 1), torch.tensor([[place]]), 1.0)[0, 0] / 255
            assert np.allclose(bar((place - low) / (1 - low))[:3], map_)
    grey = overlay(torch.zeros(1, 1, 1), torch.zeros(1, 1), 1.0)[0, 0]
    assert len(set(grey.tolist())) == 1 and grey[0] < 255, "no attribution is grey in both"
