"""ADA's transformations against independent computations and its probability against the paper."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gantool.augment import ADA
from gantool.augment.adaptive import ScheduledADA
from gantool.batch import Batch
from gantool.errors import GantoolError
from gantool.game import Progress
from gantool.games.gan import GAN
from gantool.latents import Normal
from gantool.losses import NonSaturating, Relativistic
from gantool.networks.mlp import Discriminator, Generator
from gantool.schedules import Ramp
from runs import newest, same_training, train

EVERYTHING = {"blit": 1.0, "geometry": 1.0, "color": 1.0, "cutout": 1.0}


def images(count: int = 64, channels: int = 3, size: int = 16) -> Tensor:
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def augment(ada: nn.Module, x: Tensor, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    return ada(x, Batch(x).draws)


def always(p: float = 1.0, **policy: float) -> ScheduledADA:
    """Its parts happen with the probabilities given."""
    ada = ScheduledADA(policy, p)
    ada.begin_round(Progress())
    return ada


@pytest.mark.parametrize("channels", [1, 3])
def test_probability_zero_changes_no_bit_and_one_changes_all(channels: int) -> None:
    x = images(channels=channels)
    assert torch.equal(augment(ADA(EVERYTHING), x), x)
    assert not (augment(always(**EVERYTHING), x) == x).flatten(1).all(1).any()


def test_blits_are_mirrors_turns_and_moves_by_up_to_an_eighth() -> None:
    x = images(600, 1)
    y = augment(always(blit=1.0), x)
    views = [torch.rot90(v, k, (2, 3)) for v in (x, x.flip(3)) for k in range(4)]
    padded = [torch.nn.functional.pad(v, [2] * 4, mode="constant", value=9) for v in views]
    crops = [p[:, :, i : i + 16, j : j + 16] for p in padded for i in range(5) for j in range(5)]
    found = torch.stack([((c - y).abs() < 1e-4).logical_or(c == 9).flatten(1).all(1) for c in crops])
    assert found.any(0).all(), "each image is one of the eight views, moved"
    assert found.view(8, 25, -1).any(1).any(1).all() and found.view(8, 5, 5, -1).any(0).any(2).all()


def test_a_grey_image_is_what_a_coloured_one_without_colour_is() -> None:
    grey = images(channels=1)
    coloured = augment(always(**EVERYTHING), grey.expand(-1, 3, -1, -1))
    torch.testing.assert_close(augment(always(**EVERYTHING), grey), coloured[:, :1], atol=1e-5, rtol=0)


def test_each_part_happens_with_its_share_of_the_probability() -> None:
    x = images(4000, size=8)
    for part in ("geometry", "color", "cutout"):
        changed = (augment(always(0.4, **{part: 0.5}), x) != x).flatten(1).any(1).float().mean().item()
        # Size, rotation, aspect and place; five colours of which a flip counts half the time; one square.
        expected = {"geometry": 1 - 0.8**4, "color": 1 - 0.8**4 * 0.9, "cutout": 0.2}[part]
        assert changed == pytest.approx(expected, abs=0.03)


def test_cutout_is_a_square_of_half_the_size() -> None:
    cleared = augment(always(cutout=1.0), images(500) + 3)[:, 0] == 0
    rows, columns = cleared.any(2), cleared.any(1)
    assert (cleared == (rows[:, :, None] & columns[:, None, :])).all() and rows.sum(1).min() == 4, (
        "a centre may lie at the border"
    )


def test_gradients_are_the_transpose_of_what_is_done() -> None:
    x, direction, ada = images().requires_grad_(), torch.randn(64, 3, 16, 16), always(**EVERYTHING)
    y = augment(ada, x)
    weights = torch.randn_like(y)
    (gradient,) = torch.autograd.grad(y, x, weights)
    change = augment(ada, x.detach() + direction) - y.detach()  # all is affine in the image
    torch.testing.assert_close((change * weights).sum(), (direction * gradient).sum(), rtol=1e-3, atol=1e-2)


def test_micro_batches_and_bf16_see_the_numbers_of_the_whole_batch() -> None:
    x, ada = images(12), always(**EVERYTHING)
    whole, parts = augment(ada, x), []
    for part in Batch(x).split(5):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16):
            parts.append(ada(part.images, part.draws))
    torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=1e-5)


def play(ada: ADA | ScheduledADA, scores: Tensor, rounds: int, size: int = 8) -> list[float]:
    """p at the start of each round, every one of which observes `scores` in two parts."""
    progress, history = Progress(total=10**6), []
    for _ in range(rounds):
        ada.begin_round(progress)
        history.append(ada.p.item())
        for part in scores.split(3):
            ada.observe(part)
        progress = progress.advance(size)
    return history


def test_p_moves_by_the_images_seen_towards_the_target() -> None:
    up = play(ADA(interval=2, rise="160img"), torch.ones(8, 1), rounds=7)
    assert up == pytest.approx([0, 0, 0.1, 0.1, 0.2, 0.2, 0.3])
    assert max(play(ADA(interval=2, rise="1img"), torch.ones(8, 1), rounds=7)) == 1
    ada = ADA(interval=1, rise="80img")
    ada.p.fill_(0.25)
    assert play(ada, -torch.ones(8, 1), rounds=5) == pytest.approx([0.25, 0.15, 0.05, 0, 0])
    mixed = torch.tensor([[1.0]] * 8 + [[-0.1]] * 2)  # mean sign 0.6
    assert play(ADA(target=0.59, interval=1, rise="80img"), mixed, rounds=2)[1] == pytest.approx(0.1)
    assert play(ADA(target=0.61, interval=1, rise="80img"), mixed, rounds=2)[1] == 0


def test_p_of_two_ranks_is_that_of_one_process() -> None:
    torch.manual_seed(0)
    scores = torch.randn(16, 1) + 1.5
    one, ranks = ADA(interval=2, rise="100img"), [ADA(interval=2, rise="100img") for _ in range(2)]
    progress = Progress(total=10**6)
    for _ in range(9):
        for ada, seen in zip((one, *ranks), (scores, scores[:8], scores[8:]), strict=True):
            ada.begin_round(progress)
            ada.observe(seen)
        for buffers in zip(*(rank.buffers() for rank in ranks), strict=True):  # what average_buffers does
            mean = torch.stack(list(buffers)).mean(0)
            for buffer in buffers:
                buffer.copy_(mean)
        progress = progress.advance(16)
    assert ranks[0].p == ranks[1].p == one.p > 0


def test_p_can_follow_a_schedule() -> None:
    ramp = ScheduledADA(probability=Ramp(0, 0.5, "16img"))
    assert play(ramp, -torch.ones(8), rounds=4) == pytest.approx([0, 0.25, 0.5, 0.5])
    assert play(ScheduledADA(probability=0.3), -torch.ones(8), rounds=2) == pytest.approx([0.3, 0.3])
    assert play(ScheduledADA(probability=Ramp(-1, 3, "16img")), -torch.ones(8), rounds=3) == [0, 1, 1]


@pytest.mark.parametrize("loss", [NonSaturating(), Relativistic()], ids=["absolute", "relativistic"])
def test_the_game_shows_it_scores_in_training_only(loss) -> None:
    torch.manual_seed(0)
    shape = {"resolution": 8, "channels": 1, "hidden": [8]}
    ada, discriminator = ADA(), Discriminator(**shape)
    latent: Any = Normal(4)
    game = GAN(Generator(latent_dim=4, **shape), discriminator, latent, loss, augment=ada)
    batch = Batch(images(32, 1, 8))
    outcome = game.players["discriminator"].loss(batch)
    real, fake = outcome.scores["real"], outcome.scores["fake"]
    expected = (real - fake if loss.needs_real_score else real).sign().sum()
    assert ada.signs == expected and ada.count == 32 and game.scalars() == {"augment/probability": 0.0}
    game.players["generator"].loss(batch)
    game.eval()
    game.players["discriminator"].loss(batch)
    assert ada.count == 32


def test_p_is_in_the_checkpoint_and_in_the_log(in_tmp: Path, monkeypatch) -> None:
    from test_contracts import Killed, stop_after

    words = ["augment=ada", "augment.interval=2", "augment.rise=64img", "augment.target=-1", "trainer.log_every=1it"]
    whole = train(in_tmp / "whole", *words, rounds=6)
    assert whole["game"]["augment.p"] == pytest.approx(0.5)
    stop_after(3, monkeypatch)  # in the middle of an interval
    with pytest.raises(Killed):
        train(in_tmp / "parts", *words, rounds=6)
    monkeypatch.undo()
    monkeypatch.chdir(in_tmp)
    assert newest(in_tmp / "parts")["game"]["augment.count"] == 8
    assert same_training(whole, train(in_tmp / "parts", *words, rounds=6))
    assert '"augment/probability": 0.5' in (in_tmp / "whole" / "metrics.jsonl").read_text()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ADA({"colour": 1.0}), "did you mean 'color'"),
        (lambda: ADA({"blit": 2.0}), "augment.policy.blit=2.0: a share"),
        (lambda: ADA(interval=0), "augment.interval=0"),
        (lambda: ScheduledADA(probability=1.5), "augment.probability=1.5: a number from 0 to 1"),
        (lambda: ScheduledADA(probability=-0.1), "augment.probability=-0.1"),
        (lambda: ADA(rise="5ep"), "augment.rise=5ep: write images"),
    ],
)
def test_mistakes_are_named(make, message: str) -> None:
    with pytest.raises(GantoolError, match=message):
        make()
