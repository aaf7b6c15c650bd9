"""Numbers that mean what they say: what ADA follows, noise on pairs, float32, ways between latents."""

from pathlib import Path

import pytest
import torch

from composing import composed
from extent import some
from gantool.batch import Batch, Draws
from gantool.cli.arguments import add_arguments
from gantool.cli.main import main
from gantool.config import Written
from gantool.errors import GantoolError
from gantool.games.gan import GAN
from gantool.games.pix2pix import Pix2Pix
from gantool.growth import Progressive
from gantool.latents import Normal, Structured, Uniform
from gantool.runs import build
from gantool.runs.build import Setup, set_up
from gantool.runs.interpolation import between, spherical
from gantool.training.hardware import choose_device
from runs import choices, small, train

PAIRS = ["model=pix2pix", "augment=instance-noise", "augment.std=1.0", "model.generator.dropout=0"]


def setup(folder: Path, *words: str, model: str = "dcgan") -> Setup:
    cfg, hydra = composed(*add_arguments(small(folder, *words, model=model)[1:]))
    return set_up(cfg, Written.of(hydra))


@pytest.mark.parametrize("loss", some(choices("loss"), 4))
def test_ada_follows_a_number_that_tells_real_from_fake(in_tmp: Path, loss: str) -> None:
    """Where no score lies half-way between the two it is refused; else real images count as recognised above it."""
    words = ["augment=ada", f"loss={loss}", "model.discriminator.norm=none"]
    if loss in ("wgan", "wgan-gp"):
        with pytest.raises(GantoolError, match="augment=diffaugment, or another loss"):
            setup(in_tmp / "run", *words)
        return
    game = setup(in_tmp / "run", *words).game
    assert isinstance(game, GAN)
    boundary, relative = game.adversary.loss.boundary, game.adversary.loss.needs_real_score
    assert boundary is not None
    game.adversary.score = lambda images, labels: (images.mean((1, 2, 3)) + boundary, None)  # type: ignore[method-assign]
    batch = Batch(torch.full((4, 1, 32, 32), 0.1))
    batch.images[0] -= 0.2
    turn = game.turn(batch, game.make(batch), grad=False)
    turn.fake = torch.zeros_like(turn.real) if relative else turn.fake
    game.adversary.discriminator_loss(turn)
    augment = game.augment
    assert isinstance(augment, torch.nn.Module)
    assert augment.signs == 3 - 1 and augment.count == 4


@pytest.mark.parametrize(("augment", "alike"), [("instance-noise", False), ("ada", True), ("diffaugment", True)])
def test_an_image_and_its_source_move_alike_but_have_noise_of_their_own(
    in_tmp: Path, augment: str, alike: bool
) -> None:
    words = [f"augment={augment}", *(["augment.std=1.0"] if augment == "instance-noise" else [])]
    game = setup(in_tmp / "run", *words, model="pix2pix").game
    assert isinstance(game, Pix2Pix)
    same = torch.rand(4, 3, 32, 32)
    source, image = game.see(torch.cat([same, same], 1), Batch(same, source=same)).chunk(2, 1)
    assert torch.equal(source, image) == alike


def test_float32_is_not_rounded_to_tf32(in_tmp: Path) -> None:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    setup(in_tmp / "run")
    assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32


def test_apples_gpu_is_taken_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GantoolError, match="no Apple GPU"):
        choose_device("mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("mps").type == "mps"
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "mps")


@pytest.mark.parametrize("truncation", [0.01, 1.0, 5.4, 6.0, 8.0, 40.0, 1e308])
def test_truncated_latents_stay_within_and_are_numbers(truncation: float, monkeypatch: pytest.MonkeyPatch) -> None:
    edge = torch.tensor([0.0, 1 - 2**-24, 0.5]).expand(2, 3)  # all that torch.rand can give lies between
    monkeypatch.setattr(Draws, "rand", lambda draws, *shape: edge)
    z = Normal(3).sample(Draws(2, torch.device("cpu")), truncation)
    assert z.isfinite().all() and z.abs().max() <= truncation and z[0, 0] < 0 < z[0, 1] and z[0, 2] == 0


@pytest.mark.parametrize(
    ("latent", "normal"),
    [(Normal(20), 20), (Uniform(20), 0), (Structured(20), 8), (Structured(20, noise="uniform"), 0)],
    ids=["normal", "uniform", "structured", "structured uniform"],
)
def test_only_normal_numbers_go_along_a_great_circle(latent, normal: int) -> None:
    torch.manual_seed(0)
    start, end = (latent.sample(Draws(3, torch.device("cpu"))) for _ in range(2))

    class Run:
        generators = None

    class Game:
        def generate(self, z, labels, generators):
            return z

    game = Game()
    game.latent = latent  # type: ignore[attr-defined]
    (middle,) = between(game, Run(), (start, end), None, path="spherical", steps=3)[1:2]  # type: ignore[arg-type]
    n = latent.normal
    assert n == normal
    outside = (start[:, :8].abs() > 1).any().item()
    assert outside == (normal > 0)  # a uniform number is at most 1
    assert torch.allclose(middle[:, :n], spherical(start[:, :n], end[:, :n], 0.5))
    assert torch.allclose(middle[:, n:], (start[:, n:] + end[:, n:]) / 2)


def test_a_great_circle_between_uniform_latents_is_refused(in_tmp: Path, capfd) -> None:
    train(in_tmp / "run", "model/latent=uniform", model="mlp", rounds=1)
    assert main(["interpolate", f"run={in_tmp / 'run'}", "path=spherical", "rows=2", "steps=2"]) == 1
    assert "path=spherical is for normal latents" in capfd.readouterr().err
    assert main(["interpolate", f"run={in_tmp / 'run'}", "rows=2", "steps=2"]) == 0
    assert list((in_tmp / "run" / "interpolated").glob("*linear"))


def test_every_rank_gets_an_image_of_the_smallest_batch(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    growth = Progressive(resolution=32, batch_sizes={4: 16, 8: 3, 16: None})
    assert growth.smallest_batch(8) == 3 and growth.smallest_batch(2) == 2
    words = ["model.growth.batch_sizes.8=3", "dataset.resolution=32"]
    made = setup(in_tmp / "run", *words, model="progan")
    monkeypatch.setattr(build, "world", lambda: 4)
    with pytest.raises(GantoolError, match="3 images cannot be shared by 4 ranks"):
        build.check_batches(made)
