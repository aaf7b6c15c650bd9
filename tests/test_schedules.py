"""Numbers that change with the images seen: the ramp, and each place where it may stand."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from composing import typed
from extent import thorough
from gantool.augment import ScheduledADA
from gantool.batch import Batch
from gantool.cli.arguments import add_arguments
from gantool.cli.main import main
from gantool.data.mnist import Mnist5k
from gantool.errors import GantoolError
from gantool.game import Progress, Turn
from gantool.games.gan import GAN
from gantool.latents import Normal
from gantool.losses import Hinge
from gantool.networks.mlp import Discriminator, Generator
from gantool.regularizers import R1, R2
from gantool.runs.compatibility import check_shapes
from gantool.runs.scheduled import check_schedules
from gantool.schedules import Constant, Cosine, Decay, Delayed, Linear, Ramp, Schedule, Step, at
from gantool.training.ema import EMA
from gantool.training.optimization import PlayerOptimizer
from runs import same_training, small, train

RAMP = "{_target_:gantool.schedules.Ramp,start:%s,end:%s,until:%s}"


def test_a_ramp_is_half_a_cosine_and_then_constant() -> None:
    ramp = Ramp(0.05, 0.005, "20Mimg")
    for nimg in (0, 5_000_000, 10_000_000, 15_000_000, 20_000_000, 99_000_000):
        done = min(nimg / 20e6, 1)
        expected = 0.05 + (0.005 - 0.05) * math.sin(math.pi / 2 * done) ** 2
        assert ramp(nimg, 250_000_000) == ramp(nimg, 1) == pytest.approx(expected)
    assert ramp(20_000_000, 1) == 0.005 and Ramp(0, "5Mimg", 1.0)(7, 7) == 5e6
    assert [Ramp(2, 0, 0.5)(n, 100) for n in (0, 25, 50, 75)] == pytest.approx([2, 1, 0, 0])
    assert at(ramp, 0, 1) == 0.05 and at(3.0, 0, 1) == 3.0


@pytest.mark.parametrize("until", [0.0, 1.5, "20ep", "5it", "-3kimg"])
def test_a_ramp_ends_within_the_run_or_after_some_images(until: float | str) -> None:
    with pytest.raises(GantoolError, match="until="):
        Ramp(1, 0, until)


NO_FRACTION: dict[str, Callable[[float], Schedule]] = {
    "linear": lambda start: Linear(start=start),
    "cosine": lambda start: Cosine(start=start),
    "step": lambda interval: Step(interval=interval),
    "decay": lambda interval: Decay(interval=interval),
    "ramp": lambda until: Ramp(1, 0, until),
}


@pytest.mark.parametrize("name", NO_FRACTION)
def test_images_without_their_unit_are_no_fraction_of_a_run(name: str) -> None:
    for number in (1.5, 20_000, -0.5):
        with pytest.raises(GantoolError, match="a fraction of the run"):
            NO_FRACTION[name](number)
    assert NO_FRACTION[name](1)(0, 100) == 1


def own(nimg: int, total: int) -> float:
    return 1 - nimg / total / 2


@pytest.mark.parametrize(
    "schedule",
    [Constant(), Linear(), Cosine(), Step(), Decay(interval=0.5), Ramp(1, 0.5), Delayed(1, 0), own],
    ids=lambda schedule: type(schedule).__name__,
)
def test_a_schedule_stands_wherever_a_number_does(schedule: Schedule) -> None:
    """Also before the length of the run is known, when a new game is tried on black images."""
    shape = {"resolution": 8, "channels": 1, "hidden": [8]}
    loss = Hinge(top=schedule, regularizers={"r1": R1(gamma=schedule), "r2": R2(gamma=schedule)})
    generator, discriminator = Generator(latent_dim=4, **shape), Discriminator(**shape)
    game = GAN(generator, discriminator, Normal(4), loss, augment=ScheduledADA(probability=schedule))
    check_shapes(game, Mnist5k(None, resolution=8))
    assert game.scalars() == {"augment/probability": 1}


class Slope(nn.Module):
    """A score whose gradient has the squared norm 4 everywhere."""

    def forward(self, images: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        return images.flatten(1).sum(1, keepdim=True)


@pytest.mark.parametrize("penalty", [R1, R2])
def test_gamma_follows_its_ramp(penalty) -> None:
    images = torch.randn(3, 1, 2, 2)
    for nimg, gamma in ((0, 2.0), (25, 1.0), (60, 0.0)):
        turn = Turn(images, images, None, images, Batch(images), Progress(nimg=nimg, total=100))
        assert penalty(gamma=Ramp(2, 0, 0.5))(Slope(), turn).item() == pytest.approx(gamma / 2 * 4)


def test_beta2_follows_its_ramp_and_adam_uses_it() -> None:
    weight = nn.Parameter(torch.tensor([1.0]))
    optimizer = PlayerOptimizer(
        [weight], lambda p: torch.optim.Adam(p, lr=1e-3, betas=(0.0, 0.5)), Constant(), beta2=Ramp(0.9, 0.99, 0.5)
    )
    second = 0.0
    for nimg, gradient in ((0, 3.0), (25, 2.0), (80, 1.0)):
        optimizer.begin_round(Progress(nimg=nimg, total=100))
        beta = {0: 0.9, 25: 0.945, 80: 0.99}[nimg]
        weight.grad = torch.tensor([gradient])
        optimizer.optimizer.step()
        second = beta * second + (1 - beta) * gradient**2
        assert optimizer.optimizer.state[weight]["exp_avg_sq"].item() == pytest.approx(second, rel=1e-5)
    with pytest.raises(GantoolError, match="optimizer.beta2"):
        PlayerOptimizer([weight], lambda p: torch.optim.SGD(p, lr=1e-3), Constant(), beta2=Ramp(0.9, 0.99))


def test_a_half_life_follows_its_ramp() -> None:
    layer = nn.Linear(1, 1, bias=False)
    live = nn.ModuleDict({"generator": layer})
    ema = EMA(live, Ramp(0, "64img", 0.5))
    nn.init.constant_(layer.weight, 2.0)
    ema.update(live, Progress(nimg=32, previous=0, total=10**15))
    assert next(ema.generators.parameters()).item() == 2.0, "a half-life of nothing follows at once"
    nn.init.constant_(layer.weight, 4.0)
    ema.update(live, Progress(nimg=64, previous=32, total=64))
    assert next(ema.generators.parameters()).item() == pytest.approx(4 - 2 * 0.5 ** (32 / 64))


@thorough
def test_ramps_resume_exactly_and_are_in_the_configuration(in_tmp: Path, monkeypatch) -> None:
    from test_contracts import Killed, stop_after

    words = ["loss=r3gan", "optimizer/schedule=burn-in", "recipe.burn_in=24img", "recipe.rate_burn_in=24img"]
    words += ["recipe.lr=1e-3", f"trainer.ema_half_life={RAMP % (0, '64img', 1)}"]
    whole = train(in_tmp / "whole", *words)
    stop_after(2, monkeypatch)
    with pytest.raises(Killed):
        train(in_tmp / "parts", *words)
    monkeypatch.undo()
    monkeypatch.chdir(in_tmp)
    assert same_training(whole, train(in_tmp / "parts", *words))
    (group,) = whole["optimizers"]["generator"]["param_groups"]
    assert group["betas"] == (0.0, 0.99) and group["lr"] == 0.25e-3, "the last round began at 24 images"
    assert not same_training(whole, train(in_tmp / "flat", *words, "loss.regularizers.r1.gamma=3")), (
        "gamma did not fall"
    )


def test_a_delayed_half_life_is_the_average_of_bigganss_code() -> None:
    """Which copies until update 1000 and then decays by 0.9999; here until the third, by 0.9."""
    layer = nn.Linear(1, 1, bias=False)
    live, images = nn.ModuleDict({"generator": layer}), 200
    ema = EMA(live, Delayed(math.log(0.5) / math.log(0.9) * images, f"{3 * images}img"))
    expected = layer.weight.item()
    for update in range(1, 9):
        nn.init.constant_(layer.weight, update**2)
        ema.update(live, Progress(nimg=update * images, previous=(update - 1) * images, total=10**6))
        decay = 0.0 if update < 3 else 0.9
        expected = decay * expected + (1 - decay) * update**2
        assert next(ema.generators.parameters()).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("half_life", "reached"),
    [("2img", False), ("1img", True), ("{_target_:gantool.schedules.Delayed,value:9,start:0}", True)],
)
def test_a_half_life_that_is_never_reached_is_told(
    in_tmp: Path, capsys: pytest.CaptureFixture[str], half_life: str, reached: bool
) -> None:
    assert main(small(in_tmp / "run", f"trainer.ema_half_life={half_life}", model="mlp", rounds=3)) == 0
    assert ("trainer.ema_half_life=2img is not reached" in capsys.readouterr().out) != reached


OUTSIDE = {
    f"loss.top={RAMP % (1.5, 1, 1)}": "loss.top is 1.5 at its start: should be less than or equal to 1",
    f"loss.top={RAMP % (1, 0, 0.5)}": "loss.top is 0 at its end: should be greater than 0",
    f"optimizer.beta2={RAMP % (0.9, 1, '50kimg')}": "optimizer.beta2 is 1 at its end: should be less than 1",
    f"optimizer.beta2={RAMP % (0.9, 1, '9Mimg')}": None,
    "optimizer/schedule=linear optimizer.schedule.end=-1": "optimizer.schedule is -1 at its end: should be a finite",
    "optimizer/schedule=linear": None,
    f"regularizer=r1 regularizer.r1.gamma={RAMP % (1, -1, 1)}": "regularizer.r1.gamma is -1 at its end: should be",
    f"loss=r3gan loss.regularizers.r1.gamma={RAMP % (1, -1, 1)}": "loss.regularizers.r1.gamma is -1 at its end: ",
    f"trainer.ema_half_life={RAMP % (-1, 5, 1)}": "trainer.ema_half_life is -1 at its start: should be a finite",
    f"trainer.ema_half_life={RAMP % (0, '5kimg', 1)}": None,
}


@pytest.mark.parametrize("words", OUTSIDE)
def test_a_schedule_ends_where_a_number_may_stand(words: str) -> None:
    config, line = typed(*add_arguments(words.split()), "dataset.channels=1", "dataset.num_classes=10"), OUTSIDE[words]
    if line is None:
        return check_schedules(config, 100_000)
    with pytest.raises(GantoolError, match=line) as told:
        check_schedules(config, 100_000)
    assert "\n" not in str(told.value)
