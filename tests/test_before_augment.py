"""R1 and R2 by the pixels that go into the augmentation, against finite differences of augmented images' scores."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from extent import some, thorough
from gantool.augment import ADA
from gantool.augment.transforms import GEOMETRY, draw, geometry, resample
from gantool.batch import Batch, Before, Draws
from gantool.cli.main import main
from gantool.game import Progress, Turn
from gantool.regularizers import R1, R2
from runs import same, same_training, small, train
from test_regularizers import Bowl, Plane

PENALTIES = {"real": R1(gamma=2, before_augment=True), "fake": R2(gamma=2, before_augment=True)}
BEFORE = ["regularizer=[r1,r2]", "regularizer.r1.before_augment=true", "regularizer.r2.before_augment=true"]
LAYERS = ["model.generator.norm=layer", "model.discriminator.norm=layer"]


def turn(before: Before | None) -> Turn:
    images = torch.randn(3, 1, 2, 2, dtype=torch.float64)
    return Turn(images, images + 1, None, torch.zeros(3, 1), Batch(images), Progress(), before=before)


@pytest.mark.parametrize("side", PENALTIES)
def test_the_gradient_goes_through_the_augmentation(side: str) -> None:
    plane = Plane(torch.tensor([3.0, 0.0, 4.0, 0.0]))
    known = Before(torch.zeros(3, 1, 2, 2), torch.ones(3, 1, 2, 2), lambda images: -2 * images + 7)
    assert PENALTIES[side](plane, turn(known)).item() == pytest.approx((2 * 5) ** 2)
    assert PENALTIES[side](plane, turn(None)).item() == pytest.approx(5**2), "there is nothing before it"
    assert R1(gamma=2)(plane, turn(known)).item() == R2(gamma=2)(plane, turn(known)).item() == pytest.approx(5**2)


def test_sampling_can_be_differentiated_twice_and_is_torchs() -> None:
    torch.manual_seed(0)
    images = torch.randn(4, 2, 6, 6, dtype=torch.float64, requires_grad=True)
    numbers = draw(Draws(4, images.device), torch.tensor(0.9), {"geometry": 1.0}, 6, 6)
    back = geometry(numbers[:, :GEOMETRY]).double()

    def moved(images: Tensor) -> Tensor:
        return resample(images, back) ** 2

    assert torch.autograd.gradcheck(moved, images) and torch.autograd.gradgradcheck(moved, images)
    grid = F.affine_grid(back, [4, 2, 6, 6], align_corners=False)
    by_torch = F.grid_sample(images, grid, mode="bicubic", padding_mode="reflection", align_corners=False)
    gradients = [torch.autograd.grad(made.square().sum(), images)[0] for made in (by_torch, resample(images, back))]
    assert (back != torch.eye(2, 3)).any((1, 2)).all() and torch.equal(*gradients)


def test_under_ada_it_is_that_of_finite_differences() -> None:
    torch.manual_seed(0)
    network, ada = Bowl(), ADA()
    ada.p.fill_(1.0)
    raw, step = torch.randn(3, 1, 2, 2), 1e-2

    def see(images: Tensor) -> Tensor:
        torch.manual_seed(3)
        return ada(images, Draws(3, images.device))

    def score(images: Tensor) -> Tensor:
        return network(see(images)).sum()

    def penalty() -> Tensor:
        return PENALTIES["real"](network, turn(Before(raw, raw, see)))

    total = 0.0
    for index in range(raw.numel()):
        moved = torch.zeros(raw.numel()).index_fill(0, torch.tensor(index), step).view_as(raw)
        total += ((score(raw + moved) - score(raw - moved)) / (2 * step)).item() ** 2
    assert penalty().item() == pytest.approx(total / 3, rel=1e-2)
    plain = R1(gamma=2)(network, Turn(see(raw), raw, None, raw, Batch(raw), Progress()))
    assert penalty().item() != pytest.approx(plain.item(), rel=0.05)
    weight = network.first.weight
    (gradient,) = torch.autograd.grad(penalty(), weight)
    with torch.no_grad():
        place = gradient.abs().argmax()
        ends = []
        for sign in (step, -step):
            weight.view(-1)[place] += sign
            with torch.enable_grad():
                ends.append(penalty().item())
            weight.view(-1)[place] -= sign
    assert gradient.view(-1)[place].item() == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=2e-2)


@thorough
def test_it_trains_resumes_and_differs_from_a_penalty_behind_the_augmentation(in_tmp: Path) -> None:
    words = [*LAYERS, *BEFORE, "augment=r3gan", "augment.probability=0.9"]
    whole = train(in_tmp / "whole", *words)
    train(in_tmp / "parts", *words, rounds=2)
    assert same_training(whole, train(in_tmp / "parts", *words))
    assert not same(whole["game"], train(in_tmp / "behind", *words, "regularizer.r1.before_augment=false")["game"])


@pytest.mark.parametrize("model", some(["pix2pix", "cyclegan"], 1))
@pytest.mark.parametrize("augment", some(["diffaugment", "instance-noise"], 1))
def test_games_that_translate_have_it_too(in_tmp: Path, model: str, augment: str) -> None:
    words = [*BEFORE, f"augment={augment}", "model.discriminator.norm=instance"]
    state = train(in_tmp / "run", *words, model=model, rounds=1)
    assert all(value.isfinite().all() for value in state["game"].values())


def test_without_an_augmentation_it_is_refused(in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(small(in_tmp / "run", *LAYERS, "regularizer=r1", BEFORE[1])) == 1
    assert "regularizer.r1.before_augment does nothing with augment=none" in capsys.readouterr().err
