"""Growth: the stage function, both sides' fade, the layers against their formulas, and an exact resume mid-fade."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from composing import composed
from extent import some, thorough
from gantool.batch import Batch
from gantool.cli.arguments import add_arguments
from gantool.config.parts import build
from gantool.game import Progress, Turn
from gantool.growth import Progressive
from gantool.networks.layers import MinibatchStd
from gantool.networks.progan import Discriminator, Generator, Scaled, pixel_norm
from gantool.regularizers import Drift
from runs import same_training, train
from test_config import mistakes

WGAN = ["loss=wgan-gp", "loss.n_critic=1", "regularizer=[drift]"]


@pytest.mark.parametrize(
    ("nimg", "stage"), [(0, 0), (100, 0), (150, 0.5), (200, 1), (300, 1), (350, 1.5), (400, 2), (799, 2), (800, 2)]
)
def test_stage_at_the_edges(nimg: int, stage: float) -> None:
    assert Progressive(resolution=16, growing=0.5).stage(Progress(nimg=nimg, total=800)) == stage


def test_start_and_batch_sizes() -> None:
    growth = Progressive(resolution=32, start=8, batch_sizes={8: 64, 32: 16})
    assert growth.stage(Progress(nimg=0, total=800)) == 1
    assert [growth.batch_size(stage, 48) for stage in (1.0, 1.5, 2.5)] == [64, 48, 16]


@torch.no_grad()
def test_fade_begins_at_the_old_stage_and_ends_at_the_new() -> None:
    torch.manual_seed(0)
    generator = Generator(latent_dim=8, resolution=16, channels=1, width=4)
    discriminator = Discriminator(resolution=16, channels=1, width=4)
    growth, z = Progressive(resolution=16), torch.randn(4, 8)
    reals = torch.rand(4, 1, 16, 16)

    def at(stage: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        generator.stage.fill_(stage)
        discriminator.stage.fill_(stage)
        real = growth.shrink(reals, stage)
        return generator(z), discriminator(real), real

    old, new, begun, ended, half = at(1.0), at(2.0), at(1 + 1e-6), at(2 - 1e-6), at(1.5)
    for image in (0, 2):
        before = F.interpolate(old[image], scale_factor=2.0)
        assert torch.allclose(begun[image], before, atol=1e-4) and torch.allclose(ended[image], new[image], atol=1e-4)
        assert torch.allclose(half[image], (before + new[image]) / 2, atol=1e-5)
    assert torch.allclose(begun[1], old[1], atol=1e-4) and torch.allclose(ended[1], new[1], atol=1e-4)


def test_layers_against_their_formulas() -> None:
    torch.manual_seed(0)
    layer, x = Scaled(6, 5), torch.randn(8, 6, 4, 4)
    assert torch.allclose(layer(x), F.conv2d(x, layer.weight * (2 / (6 * 9)) ** 0.5, padding=1), atol=1e-5)
    assert torch.allclose(pixel_norm(x).square().mean(1), torch.ones(8, 4, 4), atol=1e-5)
    y = MinibatchStd(4)(x)
    for n in range(8):
        expected = x[n % 2 :: 2].std(0, correction=0).mean()
        assert torch.allclose(y[n, 6], expected.expand(4, 4), atol=1e-5)


def test_resumes_exactly_in_the_middle_of_a_fade(in_tmp: Path, monkeypatch) -> None:
    from test_contracts import Killed, stop_after

    words = [*WGAN, "model.growth.growing=1"]
    whole = train(in_tmp / "whole", *words, model="progan", rounds=16)
    stop_after(5, monkeypatch)  # round 4 of 16 with three levels: stage 0.5
    with pytest.raises(Killed):
        train(in_tmp / "parts", *words, model="progan", rounds=16)
    monkeypatch.undo()
    monkeypatch.chdir(in_tmp)
    assert same_training(whole, train(in_tmp / "parts", *words, model="progan", rounds=16))
    assert whole["game"]["discriminator.stage"] > 2


def test_optimizers_begin_anew_where_the_authors_do() -> None:
    """Their code resets them when floor or ceil of the level of detail change: where a fade begins and ends."""
    growth, total = Progressive(resolution=16, growing=0.5, reset_optimizers=True), 800
    progress, anew, before = Progress(total=total), [], (0, 0)
    for _ in range(total // 10):
        lod = growth.last - growth.stage(progress)
        if (floor := (math.floor(lod), math.ceil(lod))) != before and progress.rounds:
            anew.append(progress.nimg)
        before = floor
        assert growth.begins_anew(progress) == (progress.nimg in anew), progress.nimg
        progress = progress.advance(10)
    assert anew == [110, 200, 310, 400]  # at 100 and 300 nothing has faded in yet
    assert not Progressive(resolution=16).begins_anew(Progress(nimg=200, rounds=20, previous=190, total=total))


@thorough
def test_moments_are_of_the_phase_alone_also_after_a_kill(in_tmp: Path, monkeypatch) -> None:
    from test_contracts import Killed, stop_after

    words = [*WGAN, "model.growth.growing=1", "model.growth.reset_optimizers=true"]
    whole = train(in_tmp / "whole", *words, model="progan", rounds=12)  # three levels: fades end at 4, 8 and 12 rounds
    for player in ("discriminator", "generator"):
        steps = {int(moments["step"]) for moments in whole["optimizers"][player]["state"].values()}
        assert max(steps) == 1, "rounds since the last fade began: it is under way after 11 rounds of 12"
    for rounds in (10, 11):  # the checkpoint before the reset, and the one after it
        stop_after(rounds, monkeypatch)
        with pytest.raises(Killed):
            train(in_tmp / str(rounds), *words, model="progan", rounds=12)
        monkeypatch.undo()
        monkeypatch.chdir(in_tmp)
        assert same_training(whole, train(in_tmp / str(rounds), *words, model="progan", rounds=12))
    kept = train(in_tmp / "kept", *words[:-1], model="progan", rounds=12)
    assert not same_training(whole, kept)


def test_drift_against_its_formula() -> None:
    network = Discriminator(resolution=8, channels=1, width=4)
    real = torch.randn(4, 1, 8, 8)
    turn = Turn(real, real, None, torch.zeros(4, 1), Batch(real), Progress())
    assert Drift()(network, turn).item() == pytest.approx(1e-3 * sum(s.item() ** 2 for s in network(real)) / 4)


def test_batch_sizes_from_the_command_line_count(in_tmp: Path) -> None:
    sizes = "model.growth.batch_sizes={8: 4, 16: 4}"
    state = train(in_tmp / "run", *WGAN, sizes, "model.growth.start=8", "model.conditional=true", model="progan")
    assert state["progress"]["nimg"] == 32 and state["progress"]["rounds"] == 6  # four of 4 images, two of 8


def test_one_batch_size_of_a_preset_is_set_back() -> None:
    words = ["experiment=celeba/progan-64", "dataset=mnist-5k", "model.growth.batch_sizes.32=null"]
    growth = build(composed(*add_arguments(words))[0].model.growth, "model.growth", {"resolution": 64})
    assert (growth.batch_size(2.0, 7), growth.batch_size(3.0, 7)) == (128, 7)


SIZES = ["{4: 8, 8: 4, 16: 2}", "{8: 4}", "{4: 8, 8: 4, 16: null}", "{4: 8, 8: 4, 32: 2}"]


@pytest.mark.parametrize("sizes", some(SIZES, 2))
def test_a_batch_size_that_no_resolution_follows_is_refused(sizes: str) -> None:
    words = ["model=progan", "dataset.resolution=16", f"+model.growth.batch_sizes={sizes}"]
    assert mistakes(*words) == [], "the batch size was not typed"
    idle = sizes == "{4: 8, 8: 4, 16: 2}"
    line = "trainer.batch_size does nothing where every resolution has its own batch size: leave it out, or set "
    assert mistakes(*words, "trainer.batch_size=6") == [f"{line}model.growth.batch_sizes.16=null"] * idle
    assert len(mistakes(*words, "recipe.batch_size=6")) == idle
