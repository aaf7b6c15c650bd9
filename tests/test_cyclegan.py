"""CycleGAN and pix2pix: terms against their formulas, the pool of earlier images, the order of play, refusals."""

import json
from itertools import chain
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from extent import some, thorough
from gantool.augment import DiffAugment
from gantool.batch import Batch
from gantool.cli.main import main
from gantool.games.cyclegan import CycleGAN
from gantool.games.pix2pix import Pix2Pix
from gantool.losses import Hinge, LeastSquares, NonSaturating, Wasserstein
from gantool.networks.patchgan import PatchGAN
from gantool.networks.translators import ResNet, UNet
from gantool.regularizers import L2, GradientPenalty
from runs import newest, same_training, small, train
from test_ranks import keep_the_end, together


def cyclegan(loss=None, **parts) -> CycleGAN:
    torch.manual_seed(0)
    return CycleGAN(
        lambda: ResNet(resolution=16, channels=1, width=2, blocks=1),
        lambda: PatchGAN(resolution=16, channels=1, width=4, depth=1),
        loss or LeastSquares(),
        16,
        1,
        **parts,
    )


def pix2pix(loss=None, **parts) -> Pix2Pix:
    torch.manual_seed(0)
    discriminator = PatchGAN(resolution=16, channels=1, images=2, width=4, depth=1)
    return Pix2Pix(UNet(resolution=16, channels=1, width=4), discriminator, loss or NonSaturating(), **parts)


def drawn(count: int = 4) -> Batch:
    torch.manual_seed(1)
    return Batch(torch.rand(count, 1, 16, 16) * 2 - 1, source=torch.rand(count, 1, 16, 16) * 2 - 1)


def test_cyclegan_minimises_half_of_the_papers_objective() -> None:
    """Zhu 2017, eq. 3 with least squares (section 4), lambda 10, and the identity term of section 5.2 at half of it."""
    game, batch = cyclegan().eval(), drawn()
    f, g = game.generators["b2a"], game.generators["a2b"]
    d_a, d_b = game.discriminators["a"], game.discriminators["b"]
    a, b = batch.source, batch.images
    assert a is not None

    def distance(x: Tensor, y: Tensor) -> Tensor:
        return (x - y).abs().mean()

    adversarial = (d_b(g(a)) - 1).pow(2).mean() + (d_a(f(b)) - 1).pow(2).mean()
    cycle = distance(f(g(a)), a) + distance(g(f(b)), b)
    identity = distance(g(b), b) + distance(f(a), a)
    terms = game.generator_loss(batch).terms
    assert len(terms) == 6
    paper = (adversarial + 10 * cycle + 5 * identity).item()
    assert 2 * sum(term.item() for term in terms.values()) == pytest.approx(paper, rel=1e-5)
    assert terms["cycle_a"].item() == pytest.approx(5 * distance(f(g(a)), a).item(), rel=1e-5)
    score = (d_a(a) - 1).pow(2).mean() + d_a(f(b)).pow(2).mean()
    assert game.discriminator_loss(batch).terms["adversarial_a"].item() == pytest.approx(score.item() / 2, rel=1e-5)
    assert not any("identity" in name for name in cyclegan(identity_weight=0.0).generator_loss(batch).terms)


def test_pix2pix_minimises_the_papers_objective() -> None:
    """Isola 2017, eq. 4 with lambda 100: the discriminator sees source and image together."""
    game, batch = pix2pix().eval(), drawn()
    source, image, sigmoid = batch.source, batch.images, torch.sigmoid
    assert source is not None
    made = game.generators["generator"](source)
    fake, real = (game.discriminator(torch.cat([source, x], 1)) for x in (made, image))
    terms = game.generator_loss(batch).terms
    assert terms["adversarial"].item() == pytest.approx(-sigmoid(fake).log().mean().item(), rel=1e-4)
    assert terms["l1"].item() == pytest.approx(100 * (made - image).abs().mean().item(), rel=1e-5)
    score = -sigmoid(real).log().mean() - (1 - sigmoid(fake)).log().mean()
    assert game.discriminator_loss(batch).terms["adversarial"].item() == pytest.approx(score.item(), rel=1e-4)


def test_every_discriminator_and_generator_has_its_regularizer() -> None:
    game = cyclegan(Wasserstein(regularizers={"penalty": GradientPenalty(weight=3.0)}), regularizers={"l2": L2()})
    batch, network = drawn(), game.discriminators["b"]
    made = game.translated({"a": batch.source, "b": batch.images})["b"].detach()  # type: ignore[dict-item]
    torch.manual_seed(5)
    terms = game.discriminator_loss(batch).terms
    torch.manual_seed(5)
    draws = batch.draws
    _, _, place = game.pools["a"](made, draws), draws.rand(1, 1, 1), game.pools["b"](made, draws)
    between = torch.lerp(batch.images, made, draws.rand(1, 1, 1)).requires_grad_()
    (slope,) = torch.autograd.grad(network(between).sum(), between)
    expected = 3 * (slope.flatten(1).norm(dim=1) - 1).square().mean()
    assert terms["penalty_b"].item() == pytest.approx(expected.item(), rel=1e-4) and place.shape == made.shape
    assert terms.keys() >= {"penalty_a", "l2_a", "l2_b"}
    squares = sum(p.square().sum().item() for p in game.generators["a2b"].parameters() if p.ndim > 1)
    assert game.generator_loss(batch).terms["l2_b"].item() == pytest.approx(1e-4 / 2 * squares, rel=1e-5)


def test_discriminators_are_trained_on_what_the_generators_made_before_they_moved() -> None:
    game, batch, seen = cyclegan(pool_size=0), drawn(), []
    game.discriminators["b"].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    game.generator_loss(batch)
    made = seen.pop()
    for parameter in chain(*(network.parameters() for network in game.generators.values())):
        nn.init.zeros_(parameter)
    game.discriminator_loss(batch)
    assert torch.equal(torch.cat(seen)[-len(batch) :], made.detach())
    game.discriminator_loss(batch)  # of a batch that the generators have not seen
    last = torch.cat(seen)[-len(batch) :]
    assert not torch.equal(last, made.detach()) and not last.requires_grad


@pytest.mark.parametrize("make", [cyclegan, pix2pix])
def test_augmentation_reaches_the_generators_and_treats_a_pair_alike(make) -> None:
    game, batch = make(augment=DiffAugment(["translation"])), drawn(8)
    terms = game.generator_loss(batch).terms
    torch.stack([value for name, value in terms.items() if name.startswith("adversarial")]).sum().backward()
    generator = next(iter(game.generators.values()))
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in generator.parameters() if p.ndim > 1)
    if isinstance(game, Pix2Pix):
        source, image = game.see(torch.cat([batch.source, batch.source], 1), batch).chunk(2, 1)  # type: ignore[arg-type]
        assert torch.equal(source, image) and not torch.equal(source, batch.source)  # type: ignore[arg-type]


@thorough
def test_microbatches_give_the_same_step(in_tmp: Path) -> None:
    """Up to the order of sums; the pools are the same up to the rounding to 8 bits."""
    words = ["model.pool_size=4", "dataset.shift=2", "augment=diffaugment"]
    whole = train(in_tmp / "whole", *words, model="cyclegan", rounds=1)
    parts = train(in_tmp / "parts", *words, "trainer.microbatch=3", model="cyclegan", rounds=1)
    for player in ("generator", "discriminator"):
        for name, value in whole["optimizers"][player]["state"].items():
            gradient, other = value["exp_avg"], parts["optimizers"][player]["state"][name]["exp_avg"]
            assert (gradient - other).norm() <= 2e-3 * gradient.norm() + 1e-6, (player, name)
    pools = [state["game"]["pools.a.images"].int() for state in (whole, parts)]
    assert (pools[0] - pools[1]).abs().max() <= 1 and pools[0].float().std() > 0


@thorough
def test_two_ranks_have_the_same_pools_and_train_as_one(in_tmp: Path) -> None:
    words = ["model.pool_size=10", "trainer.batch_size=7", "dataset.bits=16"]
    together(small(in_tmp / "two", *words, model="cyclegan", rounds=3), in_tmp / "out", keep_the_end)
    first, second = (torch.load(in_tmp / f"two-{k}.pt", weights_only=True) for k in (0, 1))
    assert same_training(first, second) and same_training(first, newest(in_tmp / "two"))
    one = train(in_tmp / "one", *words, model="cyclegan", rounds=3)
    pools = [state["game"]["pools.b.images"].int() for state in (first, one)]
    step = (pools[0] - pools[1]).abs().float().mean() / 256
    assert step < 1 and int(one["game"]["pools.b.count"]) == 10


CROSSINGS = {
    "pix2pix": ("pix2pix", "model/generator=resnet loss=relativistic augment=diffaugment trainer.precision=bf16"),
    "unet": ("cyclegan", "model/generator=unet loss=relativistic loss.n_critic=2 augment=diffaugment"),
    "paired": ("cyclegan", "dataset=paired loss=wgan regularizer=[r1,l1] regularizer.r1.every=2"),
}


@pytest.mark.parametrize(("model", "text"), some(CROSSINGS.values(), 1), ids=some(CROSSINGS, 1))
def test_crossings_train_and_resume_exactly(in_tmp: Path, model: str, text: str) -> None:
    words = [*text.split(), "dataset.flip=true", "dataset.shift=2", "optimizer/schedule=constant"]
    whole = train(in_tmp / "whole", *words, model=model, rounds=3)
    train(in_tmp / "parts", *words, model=model, rounds=1)
    assert same_training(whole, train(in_tmp / "parts", *words, model=model, rounds=3))


def test_n_critic_counts_updates_of_the_discriminators() -> None:
    game = cyclegan(Hinge(n_critic=3))
    assert game.batches_per_round == 3 and [p.updates for p in game.players.values()] == [1, 3]
    assert list(game.players) == ["generator", "discriminator"]


@pytest.mark.parametrize("model", some(["cyclegan", "pix2pix"], 1))
def test_scores_are_of_translated_test_images(in_tmp: Path, model: str) -> None:
    words = ["features=digits", "score=fd", "monitor.scores.every=2it", "trainer.log_every=1it"]
    train(in_tmp / "run", *words, model=model, rounds=2)
    lines = [json.loads(line) for line in (in_tmp / "run" / "metrics.jsonl").read_text().splitlines()]
    (scored,) = (line for line in lines if "metrics/fd_digits" in line)
    assert scored["protocol"]["num_fake"] == scored["protocol"]["num_real"] == 6
    names = {path.name.rpartition("-")[0] for path in (in_tmp / "run" / "samples").iterdir()}
    assert names == ({"a2b", "b2a"} if model == "cyclegan" else {"translated"})


@pytest.mark.parametrize(
    ("model", "words", "message"),
    [
        (
            "cyclegan",
            ["auxiliary=feature-matching"],
            "auxiliary=feature_matching: gantool.games.cyclegan.CycleGAN takes no auxiliaries",
        ),
        ("pix2pix", ["auxiliary=acgan"], "auxiliary=acgan: gantool.games.pix2pix.Pix2Pix takes no auxiliaries"),
        ("cyclegan", ["dataset=mnist-5k", "dataset.root=null"], "mnist-5k is not two-sided: use dataset=unpaired"),
        ("pix2pix", ["dataset=unpaired"], "this model learns from pairs: choose dataset=paired"),
        ("cyclegan", ["model.conditional=true"], "unknown key 'model.conditional'"),
        ("cyclegan", ["loss=wgan-gp", "model.discriminator.norm=batch"], "set model.discriminator.norm=layer"),
        ("cyclegan", ["model.pool_size=-1"], "pool_size=-1"),
    ],
)
def test_mistakes_are_one_line(in_tmp: Path, capfd, model: str, words: list[str], message: str) -> None:
    assert main(small(in_tmp / "run", *words, model=model)) == 1
    errors = capfd.readouterr().err
    assert message in errors and "Traceback" not in errors and not (in_tmp / "run").exists()


def test_a_model_from_noise_cannot_be_given_two_sides(in_tmp: Path, capfd) -> None:
    root = small(in_tmp / "run", model="cyclegan")
    root = next(word for word in root if word.startswith("dataset.root="))
    assert main(small(in_tmp / "run", "dataset=unpaired", root, model="dcgan")) == 1
    assert "choose model=cyclegan or pix2pix, or dataset=folder" in capfd.readouterr().err


def test_pictures_have_a_row_of_sources_of_translations_and_of_what_comes_back() -> None:
    game, batch = cyclegan().eval(), drawn(20)
    generators = game.generators
    with torch.no_grad():
        shown = game.pictures(batch, generators)
        made = generators["b2a"](batch.images[8:16])
        again = generators["a2b"](made)
    assert list(shown) == ["a2b", "b2a"]
    images, columns = shown["b2a"]
    assert columns == 8 and len(images) == 48
    for row, expected in zip(images.split(8)[3:], (batch.images[8:16], made, again), strict=True):
        assert torch.allclose(row, expected, atol=1e-5)
    images, columns = pix2pix().pictures(drawn(5), pix2pix().generators)["translated"]
    assert columns == 5 and torch.equal(images[:5], drawn(5).source) and torch.equal(images[10:], drawn(5).images)  # type: ignore[arg-type]
