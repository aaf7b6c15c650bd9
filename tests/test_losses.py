"""Losses against the formulas of their papers, and the direction in which each pushes."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from gantool.game import Loss
from gantool.losses import Hinge, LeastSquares, Minimax, NonSaturating, Wasserstein
from runs import same_training, train

LOSSES = [Minimax(), NonSaturating(), NonSaturating(real_label=0.9), LeastSquares(), Hinge(), Wasserstein()]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_each_side_pushes_the_right_way(loss: Loss) -> None:
    real, fake = torch.tensor([[0.3], [-0.4]]).requires_grad_(), torch.tensor([[0.1], [0.2]]).requires_grad_()
    on_real, on_fake = torch.autograd.grad(loss.discriminator(real, fake), (real, fake))
    assert (on_real < 0).all() and (on_fake > 0).all(), "descent must raise real scores and lower fake ones"
    (on_fake,) = torch.autograd.grad(loss.generator(fake), fake)
    assert (on_fake < 0).all(), "the generator must raise the scores of its images"


class Bare(Hinge):
    """Never calls super().__init__()."""

    def __init__(self, margin: float = 1.0) -> None:
        self.margin = margin


def test_a_loss_that_calls_no_parent_has_its_defaults() -> None:
    for name in ("regularizers", "constraint", "n_critic", "top"):
        assert getattr(Bare(), name) == getattr(Hinge(), name), name


def test_minimax_is_the_value_of_the_game() -> None:
    real, fake = torch.randn(50, 1, dtype=torch.float64), torch.randn(50, 1, dtype=torch.float64)
    d_real, d_fake = torch.sigmoid(real), torch.sigmoid(fake)
    value = d_real.log().mean() + (1 - d_fake).log().mean()
    torch.testing.assert_close(Minimax().discriminator(real, fake), -value)
    torch.testing.assert_close(Minimax().generator(fake), (1 - d_fake).log().mean())


def test_non_saturating_with_smoothed_labels_is_cross_entropy() -> None:
    real, fake = torch.randn(50, 1, dtype=torch.float64), torch.randn(50, 1, dtype=torch.float64)
    d_real, d_fake = torch.sigmoid(real), torch.sigmoid(fake)
    expected = -(0.9 * d_real.log() + 0.1 * (1 - d_real).log()).mean() - (1 - d_fake).log().mean()
    torch.testing.assert_close(NonSaturating(real_label=0.9).discriminator(real, fake), expected)
    torch.testing.assert_close(NonSaturating().generator(fake), -d_fake.log().mean())


def test_the_saturating_generator_stops_learning_when_it_loses() -> None:
    fake = torch.tensor([[-12.0]], requires_grad=True)

    def slope(loss: Tensor) -> float:
        return torch.autograd.grad(loss, fake)[0].abs().item()

    assert slope(Minimax().generator(fake)) < 1e-4
    assert slope(NonSaturating().generator(fake)) > 0.99


def test_hinge_ignores_scores_beyond_the_margin() -> None:
    real, fake = torch.tensor([1.5, 0.5]).requires_grad_(), torch.tensor([-1.5, -0.5]).requires_grad_()
    on_real, on_fake = torch.autograd.grad(Hinge().discriminator(real, fake), (real, fake))
    assert on_real.tolist() == [0.0, -0.5] and on_fake.tolist() == [0.0, 0.5]


def test_least_squares_and_wasserstein_in_numbers() -> None:
    real, fake = torch.tensor([2.0, 0.0]), torch.tensor([1.0, 3.0])
    assert LeastSquares().discriminator(real, fake).item() == pytest.approx(0.5 * (1.0 + 5.0))
    assert LeastSquares().generator(fake).item() == pytest.approx(0.5 * 2.0)
    assert Wasserstein().discriminator(real, fake).item() == pytest.approx(2.0 - 1.0)
    assert Wasserstein().generator(fake).item() == pytest.approx(-2.0)


ONE = """
from gantool.losses import NonSaturating

class One(NonSaturating):
    def discriminator(self, real, fake):
        return super().discriminator(real, fake)[None]

    def generator(self, fake, real=None):
        return super().generator(fake, real).reshape(1, 1)
"""


def test_a_term_of_one_number_is_one_whatever_its_shape(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(in_tmp)
    (in_tmp / "one.py").write_text(ONE)
    for more in ([], ["trainer.microbatch=3"]):
        words = [*more, "trainer.log_every=1it", "regularizer=l2"]
        usual = train(in_tmp / f"usual{len(more)}", *words, model="mlp", rounds=2)
        assert same_training(
            usual, train(in_tmp / f"{len(more)}", *words, "loss._target_=one.One", model="mlp", rounds=2)
        )
