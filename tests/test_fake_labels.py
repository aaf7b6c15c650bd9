"""Labels that fakes are asked for, the real images' or new ones; AC-GAN's terms by player and by side."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from extent import thorough
from gantool.auxiliaries import ClassPrediction
from gantool.batch import Batch
from gantool.cli.main import main
from gantool.game import Progress, Turn
from gantool.games.gan import GAN
from gantool.latents import Normal
from gantool.losses import Hinge
from gantool.regularizers import R1, R2
from runs import CONF, choices, same, same_training, small, train
from test_auxiliaries import Trunk


class Told(nn.Module):
    """Makes or scores images by their labels alone, and remembers them."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.labels = nn.Parameter(torch.ones(())), []

    def forward(self, given: Tensor, labels: Tensor) -> Tensor:
        self.labels.append(labels)
        return (self.weight * given.flatten(1).mean(1) * labels).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)


def played(**how: str) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Labels of 4000 real images, those that the generator was told, and those that the discriminator was."""
    torch.manual_seed(0)
    generator, discriminator = Told(), Told()
    loss = Hinge(regularizers={"r1": R1(), "r2": R2()})
    game = GAN(generator, discriminator, Normal(2), loss, conditional=True, num_classes=4, **how)  # pyright: ignore
    labels = (torch.rand(4000) < 0.9).long()  # of classes 0 and 1 alone
    batch = Batch(torch.randn(4000, 1, 2, 2), labels)
    game.players["discriminator"].loss(batch)
    game.players["generator"].loss(batch)
    return labels, generator.labels, discriminator.labels


def test_fakes_have_labels_of_their_own_in_every_term() -> None:
    labels, made, scored = played(fake_labels="uniform")
    real, fake, r1, r2, generators = scored
    assert torch.equal(real, labels) and torch.equal(r1, labels)
    assert torch.equal(fake, made[0]) and torch.equal(r2, made[0]) and torch.equal(generators, made[1])
    for asked in made:
        assert (asked.bincount(minlength=4) / 4000 - 0.25).abs().max() < 0.03
    assert not torch.equal(made[0], made[1])
    labels, made, scored = played()
    assert all(torch.equal(labels, told) for told in (*made, *scored))


@thorough
def test_a_run_with_them_resumes_exactly_and_is_another_one(in_tmp: Path) -> None:
    words = ["model.conditional=true", "model.fake_labels=uniform", "auxiliary=acgan"]
    words += ["model.discriminator.condition=none"]
    whole = train(in_tmp / "whole", *words)
    train(in_tmp / "parts", *words, rounds=2)
    assert same_training(whole, train(in_tmp / "parts", *words))
    assert not same(whole["game"], train(in_tmp / "real", *words, "model.fake_labels=real")["game"])


def test_a_game_without_labels_refuses_them(in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(small(in_tmp / "run", "model.fake_labels=uniform")) == 1
    assert "model.fake_labels=uniform: there are no labels; add model.conditional=true" in capsys.readouterr().err


@pytest.mark.parametrize("real_only", [False, True])
@pytest.mark.parametrize("generator_weight", [None, 0.1])
def test_class_prediction_has_weights_of_its_own_and_may_learn_from_real_images_alone(
    real_only: bool, generator_weight: float | None
) -> None:
    torch.manual_seed(0)
    term = ClassPrediction(weight=3.0, generator_weight=generator_weight, real_only=real_only)
    term.build(None, Trunk(), 5)
    images, real, fake = torch.zeros(6, 1, 8, 8), torch.randn(6, 16), torch.randn(6, 16, requires_grad=True)
    labels, asked = torch.tensor([0, 1, 2, 3, 4, 0]), torch.tensor([4, 4, 1, 1, 0, 2])
    turn = Turn(images, images, labels, images, Batch(images), Progress(), asked)
    of_real, of_fake = (
        -F.log_softmax(term.classifier(features), 1)[range(6), told].mean()
        for features, told in ((real, labels), (fake, asked))
    )
    wrong = term.discriminator(real, fake, turn)
    torch.testing.assert_close(wrong, 3 * of_real if real_only else 3 * of_real + 3 * of_fake)
    (gradient,) = torch.autograd.grad(wrong, fake, allow_unused=True, retain_graph=True)
    assert (gradient is None) == real_only
    torch.testing.assert_close(term.generator(fake, None, turn), (generator_weight or 3.0) * of_fake)


def test_every_model_that_takes_labels_shows_the_key() -> None:
    files = {model: (CONF / "model" / f"{model}.yaml").read_text() for model in choices("model")}
    assert [model for model, text in files.items() if "  conditional:" in text and "  fake_labels:" not in text] == []
