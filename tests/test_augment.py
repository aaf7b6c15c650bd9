"""DiffAugment against the formulas of the paper's code, its gradients, its random numbers; instance noise."""

import pytest
import torch
from torch import Tensor

from gantool import augment as augmentations
from gantool.augment import DiffAugment, InstanceNoise
from gantool.auxiliaries import Information
from gantool.batch import Batch
from gantool.consistency import Consistency
from gantool.errors import GantoolError
from gantool.game import Progress

ALL = ("color", "translation", "cutout")


def images(count: int = 256, channels: int = 3, size: int = 16) -> Tensor:
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def augment(x: Tensor, *policy: str, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    return DiffAugment(policy)(x, Batch(x).draws)


def test_an_empty_policy_changes_nothing() -> None:
    x = images()
    assert DiffAugment([])(x, Batch(x).draws) is x


def test_brightness_moves_the_mean_by_up_to_half() -> None:
    x = images()
    moved = (augment(x, "color") - x).mean((1, 2, 3))  # saturation and contrast keep the mean
    assert -0.5 <= moved.min() < -0.45 and 0.45 < moved.max() <= 0.5


def test_contrast_scales_grey_images_by_a_half_to_one_and_a_half() -> None:
    x = images(channels=1)  # a grey image has no saturation
    ratio = augment(x, "color").std((1, 2, 3)) / x.std((1, 2, 3))
    assert 0.5 <= ratio.min() < 0.55 and 1.45 < ratio.max() <= 1.5


def test_saturation_scales_colour_by_nought_to_two() -> None:
    x = images()
    y = augment(x, "color")
    grey = [image.mean(1, keepdim=True) for image in (x, y)]
    contrast = grey[1].std((1, 2, 3)) / grey[0].std((1, 2, 3))
    saturation = (y - grey[1]).std((1, 2, 3)) / (x - grey[0]).std((1, 2, 3)) / contrast
    assert 0 <= saturation.min() < 0.05 and 1.95 < saturation.max() <= 2 + 1e-4


def test_translation_moves_whole_images_by_up_to_an_eighth_and_fills_with_zeros() -> None:
    x = images(400)
    y = augment(x, "translation")
    padded = torch.nn.functional.pad(x, [2] * 4)
    crops = torch.stack([padded[:, :, i : i + 16, j : j + 16] for i in range(5) for j in range(5)])
    found = (crops == y).flatten(2).all(2)
    assert (found.sum(0) == 1).all() and found.any(1).all()


def test_cutout_clears_a_square_of_half_the_size_that_may_leave_the_image() -> None:
    x = images(2000) + 3  # no zeros of its own
    cleared = augment(x, "cutout")[:, 0] == 0
    rows, columns = cleared.any(2), cleared.any(1)
    assert (cleared == (rows[:, :, None] & columns[:, None, :])).all()
    heights = rows.sum(1)
    assert heights.min() == 4 and heights.max() == 8  # centres lie in 0 .. 16: four rows of eight at the border
    assert torch.equal(augment(x, "cutout")[~cleared[:, None].expand_as(x)], x[~cleared[:, None].expand_as(x)])
    assert len(rows.unique(dim=0)) == len(columns.unique(dim=0)) == 17


def test_gradients_reach_the_images_twice() -> None:
    x = images(2, size=4).double().requires_grad_()

    def function(values: Tensor) -> Tensor:
        torch.manual_seed(0)
        return DiffAugment(ALL)(values, Batch(values.detach()).draws) ** 2

    assert torch.autograd.gradcheck(function, x) and torch.autograd.gradgradcheck(function, x)


def test_micro_batches_see_the_numbers_of_the_whole_batch() -> None:
    x = images(12)
    whole = augment(x, *ALL)
    parts = []
    for part in Batch(x).split(5):
        torch.manual_seed(0)
        parts.append(DiffAugment(ALL)(part.images, part.draws))
    assert torch.equal(torch.cat(parts), whole)


def test_every_turn_draws_anew_and_a_seed_repeats_it() -> None:
    x = images(8)
    assert torch.equal(augment(x, *ALL, seed=1), augment(x, *ALL, seed=1))
    assert not torch.equal(augment(x, *ALL, seed=1), augment(x, *ALL, seed=2))


def test_a_misspelt_policy_is_corrected() -> None:
    with pytest.raises(GantoolError, match="did you mean 'color'"):
        DiffAugment(["colour"])


def test_instance_noise_falls_straight_to_nothing() -> None:
    x, noise = torch.zeros(100, 3, 16, 16), InstanceNoise(std=0.4, until=0.5)
    for nimg, std in ((0, 0.4), (25, 0.2), (40, 0.08), (50, 0.0), (90, 0.0)):
        noise.begin_round(Progress(nimg=nimg, total=100))
        torch.manual_seed(0)
        assert noise(x, Batch(x).draws).std().item() == pytest.approx(std, rel=0.02)
        assert noise.scalars() == {"augment/std": pytest.approx(std)}
    assert noise(x, Batch(x).draws) is x
    for impossible in ({"std": -1}, {"until": 0}):
        with pytest.raises(GantoolError, match="augment.std=.*, augment.until="):
            InstanceNoise(**impossible)


@pytest.mark.parametrize("name", augmentations.__all__)
def test_what_follows_the_rounds_is_no_transform_of_a_term(name: str) -> None:
    """None is told of them there, so it would do nothing, or what it does at the start."""
    transform = getattr(augmentations, name)()
    if name in ("DiffAugment", "Jitter"):
        assert Consistency(transform).transform is Information(transform=transform).transform is transform
        return
    with pytest.raises(GantoolError, match=rf"^regularizer.consistency.transform: gantool.augment.\w+.{name} changes"):
        Consistency(transform)
    with pytest.raises(GantoolError, match=rf"^auxiliary.information.transform: gantool.augment.\w+.{name} changes"):
        Information(transform=transform)
