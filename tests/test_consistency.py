"""Consistency terms, LeCam and top-k training against their formulas, computed apart."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from composing import typed
from extent import thorough
from gantool.augment import DiffAugment
from gantool.batch import Batch, Draws
from gantool.consistency import Consistency, LatentConsistency, LatentDiversity, LeCam
from gantool.errors import GantoolError
from gantool.game import Progress, Turn
from gantool.games.adversary import Adversary
from gantool.losses import Hinge, Wasserstein
from gantool.schedules import Decay
from runs import train


class Sum(nn.Module):
    """Scores an image by the sum of its pixels."""

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return images.flatten(1).sum(1, keepdim=True)


def half(images: Tensor, draws: Draws) -> Tensor:
    return images / 2


def turn(rounds: int = 0, **more) -> Turn:
    """Of four images and latents of three numbers, from which images are made by doubling."""
    torch.manual_seed(rounds)
    real, z = torch.randn(4, 1, 2, 2), torch.randn(4, 3)
    made = {"generate": lambda z: (2 * z)[:, :, None, None], "real_score": None, "fake_score": None, **more}
    return Turn(real, torch.randn(4, 1, 2, 2), None, z, Batch(real), Progress(rounds=rounds, total=100), **made)


@pytest.mark.parametrize("fake_weight", [0.0, 3.0])
@pytest.mark.parametrize("scored", [True, False])
def test_consistency_is_the_squared_distance_of_scores(fake_weight: float, scored: bool) -> None:
    one, network = turn(), Sum()
    if scored:
        one.real_score, one.fake_score = network(one.real), network(one.fake)
    sums = [side.numpy().reshape(4, -1).sum(1) for side in (one.real, one.fake)]
    expected = 10 * np.mean((sums[0] / 2) ** 2) + fake_weight * np.mean((sums[1] / 2) ** 2)
    assert float(Consistency(half, 10.0, fake_weight)(network, one)) == pytest.approx(float(expected), rel=1e-5)


def test_consistency_without_a_weight_is_refused() -> None:
    with pytest.raises(GantoolError, match="both weights are 0"):
        Consistency(half, 0.0, 0.0)(Sum(), turn())


def test_latent_terms_move_the_latents() -> None:
    """Images are 2 z, scores their sums: both terms are functions of the noise alone."""
    one = turn()
    torch.manual_seed(7)
    noise = 0.1 * torch.randn(4, 3).numpy()
    torch.manual_seed(7)
    term = float(LatentConsistency(weight=5.0, spread=0.1)(Sum(), one))
    assert term == pytest.approx(5 * float(np.mean((2 * noise.sum(1)) ** 2)), rel=1e-4)
    torch.manual_seed(7)
    term = float(LatentDiversity(weight=0.5, spread=0.1)(Sum(), one))
    assert term == pytest.approx(-0.5 * float(np.mean((2 * noise) ** 2)), rel=1e-4)


def test_lecam_follows_its_averages() -> None:
    """Against a plain loop over three rounds; the second round comes in two parts, the first has no averages yet."""
    part, network = LeCam(weight=0.3, decay=0.9, start=0), Sum().train()
    averages, before = np.zeros(2), None
    for number in range(3):
        scores = np.random.default_rng(number).normal(size=(2, 4))
        if before is not None:
            averages = 0.9 * averages + 0.1 * before.mean(1) if number > 1 else before.mean(1)
        halves = [slice(0, 2), slice(2, 4)] if number == 1 else [slice(0, 4)]
        found = []
        for rows in halves:
            real, fake = (torch.tensor(side[rows], dtype=torch.float32) for side in scores)
            found.append(float(part(network, turn(number, real_score=real, fake_score=fake))))
        above = np.maximum(scores[0] - averages[1], 0) ** 2
        below = np.maximum(averages[0] - scores[1], 0) ** 2
        expected = 0.3 * float(above.mean() + below.mean()) if number else 0.0
        assert np.mean(found) == pytest.approx(expected, rel=1e-4)
        before = scores


def test_lecam_waits_and_looks_without_moving() -> None:
    part, one = LeCam(start=5), turn(real_score=torch.ones(4), fake_score=torch.ones(4))
    assert float(part(Sum().train(), one)) == 0
    known = part.sums.clone()
    part(Sum().eval(), one)
    assert torch.equal(part.sums, known) and float(known[2]) == 4


@thorough
def test_lecam_is_part_of_a_checkpoint(in_tmp) -> None:
    """A run that was stopped ends as one that was not: averages, rounds and sums are kept."""
    words = ["regularizer=lecam", "regularizer.lecam.start=1", "loss=hinge"]
    whole = train(in_tmp / "whole", *words, rounds=4)["game"]
    train(in_tmp / "parts", *words, rounds=2)
    parts = train(in_tmp / "parts", *words, rounds=4)["game"]
    assert whole["regularizers.lecam.averages"].abs().min() > 0
    assert whole.keys() == parts.keys() and all(torch.equal(value, parts[name]) for name, value in whole.items())


@pytest.mark.parametrize("relativistic", [False, True])
def test_the_generator_learns_from_the_images_that_score_highest(relativistic: bool) -> None:
    adversary, one = Adversary(Sum(), Hinge(top=0.5)), turn()
    one.fake.requires_grad_(True)
    torch.stack(list(adversary.generator_terms(one).values())).sum().backward()
    assert one.fake.grad is not None
    moved = one.fake.grad.flatten(1).abs().sum(1) > 0
    best = one.fake.detach().flatten(1).sum(1).argsort(descending=True)[:2]
    assert set(moved.nonzero().flatten().tolist()) == set(best.tolist())
    assert torch.allclose(one.fake.grad[moved], torch.tensor(-0.5))
    rows = adversary.best(
        torch.arange(4.0)[:, None], torch.arange(4.0)[:, None] * 10 if relativistic else None, one.progress
    )
    assert rows[0].flatten().tolist() == [3, 2]
    assert rows[1] is None or rows[1].flatten().tolist() == [30, 20]


def test_the_share_falls_by_schedule_to_its_end() -> None:
    share = Decay(factor=0.5, interval="10img", end=0.2)
    assert [share(nimg, 100) for nimg in (0, 9, 10, 25, 30, 90)] == [1, 1, 0.5, 0.25, 0.2, 0.2]
    assert Decay(0.5, 0.25)(50, 100) == 0.25
    assert Adversary(Sum(), Wasserstein(top=share)).best(torch.ones(4, 1), None, Progress(nimg=10))[0].shape == (2, 1)
    with pytest.raises(GantoolError, match="interval=0"):
        Decay(interval=0.0)


# Zhang 2020, section 3: lambda 10 for CR. Zhao 2021, section 3: 10 and 10 for bCR; for zCR 5 (discriminator), 0.5
# (generator) and noise of 0.03. Tseng 2021's code (google/lecam-gan): --LC 0.3 in scripts/lc-biggan-cifar10*.sh, decay
# 0.99 in third_party/utils.py, start_itr=1000 in biggan_cifar/train.py.
PAPERS = {
    "cr": {"consistency": {"real_weight": 10.0, "fake_weight": 0.0}},
    "bcr": {"consistency": {"real_weight": 10.0, "fake_weight": 10.0}},
    "zcr": {
        "latent_consistency": {"weight": 5.0, "spread": 0.03},
        "latent_diversity": {"weight": 0.5, "spread": 0.03},
    },
    "lecam": {"lecam": {"weight": 0.3, "decay": 0.99, "start": 1000}},
}


@pytest.mark.parametrize("name", PAPERS)
def test_a_regularizer_has_the_numbers_of_its_paper(name: str) -> None:
    nodes = {part: config.node for part, config in typed(f"regularizer={name}").regularizer.items()}
    assert nodes.keys() == PAPERS[name].keys()
    for part, numbers in PAPERS[name].items():
        assert {key: nodes[part][key] for key in numbers} == numbers
        assert nodes[part]["every"] == 1


def test_mirroring_changes_half_of_the_images() -> None:
    images = torch.arange(4.0).expand(200, 1, 4, 4).clone()
    torch.manual_seed(0)
    made = DiffAugment(["mirror"])(images, Draws(200, torch.device("cpu")))
    changed = (made != images).flatten(1).any(1)
    assert 60 < int(changed.sum()) < 140 and torch.equal(made[changed], images.flip(3)[changed])
