"""The generator learns from the images that the discriminator's last update was on."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from extent import thorough
from gantool.batch import Batch
from gantool.cli.main import main
from gantool.game import Progress
from gantool.games.gan import GAN
from gantool.latents import Normal
from gantool.losses import Hinge
from runs import same, same_training, small, train


class Linear(nn.Module):
    """Makes images of latents, or scores of images, and remembers what it was given."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.weight, self.shape, self.given = nn.Parameter(torch.full((4,), 0.5)), shape, []

    def forward(self, given: Tensor, labels: Tensor | None) -> Tensor:
        self.given.append(given)
        return (self.weight * given.flatten(1)).view(-1, *self.shape)


@pytest.mark.parametrize("reuse", [True, False])
@pytest.mark.parametrize(("parts", "begin"), [(1, 0), (2, 0), (1, 6), (2, 9)])  # a resumed run begins anywhere
def test_the_generators_gradient_is_that_of_the_last_images(reuse: bool, parts: int, begin: int) -> None:
    generator, discriminator = Linear((1, 2, 2)), Linear((4,))
    game = GAN(generator, discriminator, Normal(4), Hinge(n_critic=2), reuse_fakes=reuse)
    game.begin_round(Progress(nimg=begin))
    batches = [Batch(torch.zeros(6, 1, 2, 2), None, position=begin + shown) for shown in (0, 6)]
    for batch in batches:
        for part in batch.split(6 // parts):
            loss = game.players["discriminator"].loss(part)
            sum(loss.terms.values()).backward()  # pyright: ignore
            assert generator.weight.grad is None, "the discriminator's turn moves the discriminator alone"
    with torch.no_grad():
        discriminator.weight.add_(1)  # its update comes between
    made = len(generator.given)
    for part in batches[-1].split(6 // parts):
        sum(game.players["generator"].loss(part).terms.values()).backward()  # pyright: ignore
    assert len(generator.given) - made == (0 if reuse else parts) and made == 2 * parts
    last = generator.given[parts : 2 * parts] if reuse else generator.given[made:]
    expected = -torch.stack([discriminator.weight.detach() * z.sum(0) / len(z) for z in last]).sum(0)
    assert generator.weight.grad is not None and torch.allclose(generator.weight.grad, expected / 4)


@thorough
def test_a_run_with_them_goes_on_exactly_and_is_another_one(in_tmp: Path) -> None:
    words = ["loss.n_critic=2", "augment=diffaugment"]
    whole = train(in_tmp / "whole", *words)
    train(in_tmp / "parts", *words, rounds=2)
    assert same_training(whole, train(in_tmp / "parts", *words))
    assert not same(whole["game"], train(in_tmp / "new", *words, "model.reuse_fakes=false")["game"])


def test_images_of_the_generators_own_go_before(in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = train(in_tmp / "own", "trainer.generator_batch=2")
    assert same(own["game"], train(in_tmp / "new", "trainer.generator_batch=2", "model.reuse_fakes=false")["game"])
    assert main(small(in_tmp / "run", "trainer.generator_batch=2", "model.reuse_fakes=true")) == 1
    assert "model.reuse_fakes does nothing with trainer.generator_batch" in capsys.readouterr().err
