"""The generator's Jacobian against finite differences, and against generators whose singular values are known."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from extent import some
from gantool.analysis.sensitivity import Sensitivity, decompose, jacobian, strength, walk
from gantool.batch import Draws
from gantool.errors import GantoolError
from gantool.games.gan import GAN
from gantool.runs.trained import load_run
from runs import TRANSLATORS, choices, train


def linear(matrix: Tensor):
    """z -> images (n, 1, 4, 6) that are `matrix` (24, dim) times z."""
    return lambda z: (z @ matrix.T).view(-1, 1, 4, 6)


def test_a_linear_generator_has_the_singular_values_of_its_matrix() -> None:
    torch.manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(n, n, dtype=torch.float64)).Q for n in (24, 7))
    values = torch.tensor([9.0, 5.0, 4.0, 1.0, 0.5, 0.1, 0.01], dtype=torch.float64)
    matrix = left[:, :7] * values @ right.T
    change = jacobian(linear(matrix), torch.randn(7, dtype=torch.float64), at_once=3)
    torch.testing.assert_close(change.flatten(1).T, matrix)
    found = decompose(change)
    torch.testing.assert_close(found.values, values, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close((found.directions * right.T).sum(1).abs(), torch.ones(7, dtype=torch.float64))
    assert (found.directions.gather(1, found.directions.abs().argmax(1, keepdim=True)) > 0).all()
    assert found.condition == pytest.approx(900, rel=1e-5)
    heat = strength(change, found.directions[0])
    torch.testing.assert_close(heat.flatten(), 9 * left[:, 0].abs())


def test_numbers_of_a_spectrum() -> None:
    def spectrum(*values: float) -> Sensitivity:
        return Sensitivity(torch.tensor(values, dtype=torch.float64), torch.eye(len(values), dtype=torch.float64))

    assert spectrum(2, 2, 2, 0).effective_rank == pytest.approx(3)
    assert spectrum(3, 1).effective_rank == pytest.approx(math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25)))
    assert math.isinf(spectrum(1, 0).condition) and math.isinf(spectrum(1, 1e-8).condition)
    assert [spectrum(3, 1, 0).directions_for(share) for share in (0.5, 0.9, 0.95, 1.0)] == [1, 1, 2, 2]


@pytest.mark.parametrize("model", some((model for model in choices("model") if model not in TRANSLATORS), 2))
def test_every_generator_against_finite_differences(in_tmp: Path, model: str) -> None:
    labelled = [] if model == "infogan" else ["model.conditional=true"]
    train(in_tmp / "run", *labelled, model=model, rounds=1)
    game = load_run(in_tmp / "run", device="cpu").game.double()
    assert isinstance(game, GAN)
    torch.manual_seed(0)
    z = game.latent.sample(Draws(1, torch.device("cpu")))[0].double()
    label = torch.tensor(3) if game.conditional else None

    def generate(z: Tensor) -> Tensor:
        return game.generate(z, None if label is None else label.expand(len(z)), game.generators)

    change = jacobian(generate, z, at_once=5)
    direction = torch.randn(len(z), dtype=torch.float64)
    step = 1e-4  # networks end in float32, whose rounding the difference of two images keeps
    ahead, behind = generate((z + step * direction)[None]), generate((z - step * direction)[None])
    expected = ((ahead - behind).double() / (2 * step))[0]
    error = torch.einsum("dchw,d->chw", change.double(), direction) - expected
    assert 0 < error.norm() < 0.01 * expected.norm()


def test_a_walk_goes_through_its_latent() -> None:
    z, direction = torch.randn(5), torch.eye(5)[2].double()
    places = walk(z, direction, 2.0, 5)
    torch.testing.assert_close(places[2], z)
    torch.testing.assert_close(places[:, 2] - z[2], torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0]))


def test_a_network_without_forward_derivatives_is_named() -> None:
    class Backwards(torch.autograd.Function):
        @staticmethod
        def forward(x: Tensor) -> Tensor:
            return x * 2

        @staticmethod
        def setup_context(ctx, inputs, output) -> None:
            pass

    with pytest.raises(GantoolError, match="cannot be differentiated forwards"):
        jacobian(lambda z: Backwards.apply(z).view(-1, 1, 1, 3), torch.zeros(3))  # type: ignore[arg-type]
