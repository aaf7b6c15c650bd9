"""The discriminator sees real and fake images in one pass exactly where that is the same as two."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gantool.auxiliaries import ClassPrediction, FeatureMatching
from gantool.batch import Batch
from gantool.game import Progress, Turn
from gantool.games.adversary import Adversary
from gantool.losses import NonSaturating
from gantool.networks import dcgan, infogan, mlp, patchgan, progan, r3gan, resnet
from gantool.networks.layers import scores_alone
from gantool.networks.norms import NORMS

SHAPE: dict[str, Any] = {"resolution": 32, "channels": 1}
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    **{f"dcgan {norm}": lambda norm=norm: dcgan.Discriminator(**SHAPE, width=4, norm=norm) for norm in NORMS},
    **{f"mlp {norm}": lambda norm=norm: mlp.Discriminator(**SHAPE, hidden=[8, 8], norm=norm) for norm in NORMS},
    **{f"resnet {norm}": lambda norm=norm: resnet.Discriminator(**SHAPE, width=4, norm=norm) for norm in NORMS},
    **{f"infogan {norm}": lambda norm=norm: infogan.Discriminator(**SHAPE, width=4, norm=norm) for norm in NORMS},
    **{f"patchgan {norm}": lambda norm=norm: patchgan.PatchGAN(**SHAPE, width=4, norm=norm) for norm in NORMS},
    "dcgan deviation": lambda: dcgan.Discriminator(**SHAPE, width=4, norm="none", minibatch_std=4),
    "dcgan attention": lambda: dcgan.Discriminator(**SHAPE, width=4, norm="none", attention=16),
    "resnet deviation": lambda: resnet.Discriminator(**SHAPE, width=4, norm="none", minibatch_std=4),
    "progan": lambda: progan.Discriminator(**SHAPE, width=4),
    "progan alone": lambda: progan.Discriminator(**SHAPE, width=4, minibatch_std=0),
    "r3gan": lambda: r3gan.Discriminator(**SHAPE, width=8),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_alone_is_who_scores_an_image_by_itself_and_stays_as_it_was(name: str) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name]().train()
    for weight in network.parameters():  # whatever starts at zero would hide what it mixes
        nn.init.normal_(weight)
    before = {key: buffer.clone() for key, buffer in network.named_buffers()}
    images = torch.randn(8, 1, 32, 32)
    with torch.no_grad():
        apart = torch.cat([network(images[:4]), network(images[4:])])
        moved = any(not torch.equal(before[key], buffer) for key, buffer in network.named_buffers())
        together = network(images)
    same = (apart - together).abs().max() <= 1e-4 * together.abs().max()
    assert scores_alone(network) == bool(same and not moved)


class Own(dcgan.Discriminator):
    """A user's: it looks at all images together, by no layer that is known for it."""

    def features(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        found = super().features(images, labels)
        return found - found.mean(0)


def turn(labelled: bool) -> Turn:
    torch.manual_seed(1)
    real, fake = torch.randn(6, 1, 32, 32), torch.randn(6, 1, 32, 32)
    labels, asked = (torch.arange(6) % 3, torch.arange(6) % 2) if labelled else (None, None)
    return Turn(real, fake, labels, torch.randn(6, 8), Batch(real), Progress(total=100), asked)


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("auxiliary", [None, "features", "classes"])
def test_one_pass_gives_the_terms_scores_and_gradients_of_two(labelled: bool, auxiliary: str | None) -> None:
    torch.manual_seed(0)
    network = dcgan.Discriminator(**SHAPE, width=4, norm="layer", num_classes=3 * labelled)
    heads = {None: {}, "features": {"a": FeatureMatching()}, "classes": {"a": ClassPrediction()}}[auxiliary]
    for head in heads.values():
        head.build(None, network, 3)
    adversary = Adversary(network, NonSaturating(), auxiliaries=heads if labelled or auxiliary != "classes" else {})
    passes: list[int] = []
    network.layers.register_forward_hook(lambda *_: passes.append(1))
    found = []
    for at_once in (True, False):
        adversary.at_once = at_once
        outcome = adversary.discriminator_loss(turn(labelled))
        slopes = torch.autograd.grad(torch.stack([*outcome.terms.values()]).sum(), [*network.parameters()])
        found.append([*outcome.terms.values(), *outcome.scores.values(), *slopes])
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)
    assert len(passes) == 1 + 2


def test_networks_of_ones_own_are_given_their_images_apart() -> None:
    network = Own(**SHAPE, width=4, norm="none")
    assert not scores_alone(network)
    passes: list[int] = []
    network.layers.register_forward_hook(lambda *_: passes.append(1))
    Adversary(network, NonSaturating()).discriminator_loss(turn(False))
    assert len(passes) == 2
