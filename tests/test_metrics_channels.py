"""Every feature space sees images of any number of channels: of two the first, of more the first three."""

import pytest
import torch
from torch import Tensor, nn

from extent import some
from gantool.batch import Batch, Request
from gantool.data.image_set import ImageSet
from gantool.game import Progress
from gantool.metrics.digits import DigitFeatures
from gantool.metrics.efficientnet import EfficientNetFeatures
from gantool.metrics.features import Features
from gantool.metrics.inception import InceptionFeatures
from gantool.monitors.codes import CodeAgreement, LabelAgreement
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


@pytest.mark.parametrize("kind", some(["efficientnet", "digits", "legacy", "clean"], 2))
def test_in_a_space_of_its_own(kind: str, request: pytest.FixtureRequest) -> None:
    if kind in ("digits", "efficientnet"):
        any_channels(DigitFeatures() if kind == "digits" else EfficientNetFeatures())
    else:
        any_channels(InceptionFeatures(request.getfixturevalue("weights"), "clean" if kind == "clean" else "legacy"))


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_classifiers_see_all_channels_as_scores_do(channels: int) -> None:
    """Which of them count they know themselves: one that was fitted on four channels looks at four."""
    names = ["a", "b", "c"]

    def images(labels: Tensor) -> Tensor:
        made = torch.ones(len(labels), channels, 1, 1)
        made[:, -1, 0, 0] = labels / 127.5 - 1
        return made

    class Known(nn.Module):
        codes = ("category0",)

        def sample(self, request: Request, generators: nn.ModuleDict) -> Tensor:
            assert request.labels is not None
            return images(request.labels)

        def pictures(self, batch: Batch, generators: nn.ModuleDict) -> dict[str, tuple[Tensor, int]]:
            return {"category0": (images(torch.arange(3).repeat_interleave(5)), 5)}

    class Reader(nn.Module):
        name, class_names = "reader", names

        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            return images, nn.functional.one_hot(images[:, -1].long().flatten(), 256)

    pixels = torch.zeros(3, channels, 1, 1, dtype=torch.uint8)
    image_set, device, known = ImageSet(pixels, torch.arange(3), names, "", ""), torch.device("cpu"), Known()
    asked = LabelAgreement(Reader(), image_set, device, 3)  # pyright: ignore[reportArgumentType]
    coded = CodeAgreement(Reader(), image_set, device, known, 0)  # pyright: ignore[reportArgumentType]
    for monitor, name in ((asked, "codes/label"), (coded, "codes/category0")):
        assert monitor(known, nn.ModuleDict(), Progress()).scalars == {name: 1.0}  # pyright: ignore[reportArgumentType]
