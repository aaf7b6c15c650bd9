"""Every feature space sees images of any number of channels: of two the first, of more the first three."""

import pytest
import torch
from torch import Tensor

from gantool.metrics.digits import DigitFeatures
from gantool.metrics.efficientnet import EfficientNetFeatures
from gantool.metrics.features import Features
from gantool.metrics.inception import InceptionFeatures
from test_metrics_inception import weights
from test_metrics_spaces import space

__all__ = ["space", "weights"]  # fixtures: spaces of random weights, and Inception's


def any_channels(features: Features) -> None:
    images = torch.randint(0, 256, (1, 4, 32, 32), generator=torch.Generator().manual_seed(2)).to(torch.uint8)
    with torch.no_grad():
        one, two, three, four = (features(images[:, :channels])[0] for channels in (1, 2, 3, 4))
    assert one.shape == (1, features.num_features) and not torch.equal(one, three)
    assert torch.equal(two, one) and torch.equal(four, three)


def test_in_a_space_by_weights(space: tuple[Features, dict[str, Tensor]]) -> None:
    any_channels(space[0])


@pytest.mark.parametrize("kind", ["digits", "efficientnet", "legacy", "clean"])
def test_in_a_space_of_its_own(kind: str, request: pytest.FixtureRequest) -> None:
    if kind in ("digits", "efficientnet"):
        any_channels(DigitFeatures() if kind == "digits" else EfficientNetFeatures())
    else:
        any_channels(InceptionFeatures(request.getfixturevalue("weights"), "clean" if kind == "clean" else "legacy"))
