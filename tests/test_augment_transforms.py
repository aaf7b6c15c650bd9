"""ADA's transformations against independent computations: matrices one by one, the colour circle, exact turns."""

import colorsys
import math

import pytest
import torch
from torch import Tensor

from gantool.augment import transforms as tf
from gantool.batch import Draws


def images(count: int = 64, channels: int = 3, size: int = 16) -> Tensor:
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


GEOMETRY = ["x", "y", "x2", "y2", "mirror", "quarter", "before", "after", "size", "aspect"]
NUMBERS = [*GEOMETRY, "hue", "luma", "light", "contrast", "saturation"]


def row(count: int = 64, **named: float) -> tuple[Tensor, Tensor]:
    """The numbers of places and of colours with these among them, alike for `count` images."""
    numbers = torch.tensor([named.get(name, 0.0) for name in NUMBERS]).expand(count, -1)
    return numbers[:, : tf.GEOMETRY], numbers[:, tf.GEOMETRY :]


def moved(pixels: Tensor, **named: float) -> Tensor:
    return tf.resample(pixels, tf.geometry(row(len(pixels), **named)[0]))


def recolored(pixels: Tensor, **named: float) -> Tensor:
    return tf.recolor(pixels, row(len(pixels), **named)[1])


def test_turns_mirrors_and_moves_are_exact() -> None:
    x = images()
    for turns in range(4):
        turned = moved(x, quarter=turns * math.pi / 2)
        torch.testing.assert_close(turned, torch.rot90(x, turns, (2, 3)), atol=2e-5, rtol=0)
    torch.testing.assert_close(moved(x, mirror=1), x.flip(3), atol=1e-5, rtol=0)
    far = moved(x, x=3 * 2 / 16, y=-2 * 2 / 16)
    torch.testing.assert_close(far[:, :, 2:, :-3], x[:, :, :-2, 3:], atol=1e-5, rtol=0)
    torch.testing.assert_close(far[:, :, 2:, -3:], x.flip(3)[:, :, :-2, :3], atol=1e-5, rtol=0)  # mirrored


def test_places_and_colours_are_the_products_of_their_matrices() -> None:
    """One by one, in float64, as the paper's appendix B lists them; angles, signs and order included."""
    torch.manual_seed(0)
    numbers = torch.randn(50, len(NUMBERS), dtype=torch.float64)
    for flip in ("mirror", "luma"):
        numbers[:, NUMBERS.index(flip)] = torch.randint(2, (50,)).double()
    backs, pixels = tf.geometry(numbers[:, : tf.GEOMETRY]), torch.randn(50, 3, 2, 2, dtype=torch.float64)
    found = tf.recolor(pixels, numbers[:, tf.GEOMETRY :].float().double())
    for back, image, made, values in zip(backs, pixels, found, numbers.tolist(), strict=True):
        n = dict(zip(NUMBERS, values, strict=True))
        first = turned(2, n["quarter"]) @ move(n["x"], n["y"])
        size, aspect = 2 ** n["size"], 2 ** n["aspect"]
        second = diagonal(size, size) @ turned(2, n["before"]) @ diagonal(aspect, 1 / aspect) @ turned(2, n["after"])
        expected = diagonal(1 - 2 * n["mirror"], 1) @ first @ second @ move(n["x2"], n["y2"])
        torch.testing.assert_close(back, expected[:2])
        grey, one = torch.full((3, 3), 1 / 3, dtype=torch.float64), torch.eye(3, dtype=torch.float64)
        saturation = grey + 2 ** n["saturation"] * (one - grey)
        whole = saturation @ turned(3, n["hue"]) @ (one - 2 * n["luma"] * grey) * 2 ** n["contrast"]
        torch.testing.assert_close(made, (whole @ (image.flatten(1) + n["light"])).view_as(image), atol=1e-5, rtol=1e-5)


def turned(dimensions: int, angle: float) -> Tensor:
    """(3, 3) about the last axis, for places, or about the line of greys, for colours."""
    about = torch.tensor([0, 0, 1] if dimensions == 2 else [3**-0.5] * 3, dtype=torch.float64)
    x, y, z = about.tolist()
    return torch.linalg.matrix_exp(angle * torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64))


def diagonal(x: float, y: float) -> Tensor:
    return torch.diag(torch.tensor([x, y, 1], dtype=torch.float64))


def move(x: float, y: float) -> Tensor:
    return torch.tensor([[1, 0, x], [0, 1, y], [0, 0, 1]], dtype=torch.float64)


def test_a_warp_moves_a_slope_as_its_matrix_says() -> None:
    torch.manual_seed(0)
    numbers = tf.draw(Draws(200, torch.device("cpu")), torch.tensor(1.0), {"geometry": 1.0}, 32, 32)
    back = tf.geometry(numbers[:, : tf.GEOMETRY])
    place = (torch.arange(32) * 2 + 1) / 32 - 1
    y, x = torch.meshgrid(place, place, indexing="ij")
    slope = (0.7 * x - 0.4 * y).expand(200, 1, 32, 32)
    places = back @ torch.stack([x, y, torch.ones_like(x)]).flatten(1)  # (N, 3, 32 * 32)
    expected = (0.7 * places[:, 0] - 0.4 * places[:, 1]).view(200, 1, 32, 32)
    inside = (places[:, :2].abs() < 0.9).all(1).view(200, 1, 32, 32)
    assert 0.5 < inside.float().mean() < 1
    found, expected = tf.resample(slope, back)[inside], expected[inside]
    torch.testing.assert_close(found, expected, atol=5e-3, rtol=0)  # a pixel's step is 0.05
    sizes = torch.linalg.det(back[:, :2, :2]).sqrt().log2()  # rotation and aspect keep areas
    assert sizes.std().item() == pytest.approx(0.2, rel=0.15) and back[:, :2, 2].std() > 0.2


@pytest.mark.parametrize(("height", "width"), [(32, 32), (16, 64), (64, 16)])
def test_a_move_is_by_a_part_of_the_side_along_which_it_goes(height: int, width: int) -> None:
    """As in the authors' code: up to an eighth of it, in whole pixels; and normal, of an eighth."""
    torch.manual_seed(0)
    numbers = tf.draw(Draws(4000, torch.device("cpu")), torch.tensor(1.0), {"blit": 1, "geometry": 1}, height, width)
    whole, normal = (numbers[:, :4] * max(height, width) / 2).split(2, 1)
    for place, side in enumerate((width, height)):
        torch.testing.assert_close(whole[:, place], whole[:, place].round())
        assert whole[:, place].abs().max().item() == pytest.approx(side / 8)
        assert normal[:, place].std().item() == pytest.approx(side / 8, rel=0.05)


def test_hue_turns_as_it_does_in_the_colour_circle() -> None:
    pixels = images(1)[0].flatten(1)
    third, some = (recolored(images(1), hue=angle)[0].flatten(1) for angle in (2 * math.pi / 3, 0.3))
    torch.testing.assert_close(third, pixels.roll(1, 0))  # red to green to blue
    torch.testing.assert_close(some.mean(0), pixels.mean(0))  # luma stays
    torch.testing.assert_close(some.norm(dim=0), pixels.norm(dim=0))
    red = torch.eye(3)[:1, :, None, None]
    assert colorsys.rgb_to_hsv(*recolored(red, hue=math.pi / 3).flatten().tolist())[0] == pytest.approx(1 / 6)


def test_shade_flip_and_saturation_against_their_formulas() -> None:
    x, grey = images(), images(channels=1)
    torch.testing.assert_close(recolored(x, light=0.2, contrast=math.log2(1.5)), (x + 0.2) * 1.5)
    luma = x.mean(1, keepdim=True)
    torch.testing.assert_close(recolored(x, luma=1), x - 2 * luma)
    torch.testing.assert_close(recolored(x, saturation=-2), luma + 0.25 * (x - luma))
    for change in ({"hue": 1.0}, {"saturation": 1.5}):
        torch.testing.assert_close(recolored(grey, **change), grey)
    torch.testing.assert_close(recolored(grey, luma=1), -grey)
