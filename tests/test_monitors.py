"""Monitors see what they should and change nothing: weights, buffers, gradients, modes, random numbers."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from gantool.batch import Batch, Request
from gantool.data.image_set import ImageSet
from gantool.data.stream import Stream
from gantool.game import Game, Outcome, Player, Progress
from gantool.logging.grid import grid
from gantool.monitors.codes import LabelAgreement
from gantool.monitors.histograms import Histograms, sample
from gantool.monitors.samples import SampleGrid
from gantool.monitors.summary import summary

CLASSES = 3


class Generator(nn.Module):
    """(N, 4) and labels -> (N, 1, 4, 4), with a batch norm that moves in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(CLASSES, 4)
        self.layers = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 16))

    def forward(self, z: Tensor, labels: Tensor | None) -> Tensor:
        return torch.tanh(self.layers(z if labels is None else z + self.embed(labels))).view(-1, 1, 4, 4)


class Tiny(Game):
    """A game with all that a careless forward would change, and a penalty that differentiates by its input."""

    def __init__(self) -> None:
        super().__init__()
        self.generators = nn.ModuleDict({"generator": Generator()})
        self.discriminator = nn.Sequential(
            nn.Flatten(),
            spectral_norm(nn.Linear(16, 8)),
            nn.LeakyReLU(),
            nn.BatchNorm1d(8),
            spectral_norm(nn.Linear(8, 1)),
        )
        self.players = {
            "discriminator": Player([self.discriminator], self.discriminator_loss, updates=5),
            "generator": Player([self.generators["generator"]], self.generator_loss),
        }

    def discriminator_loss(self, batch: Batch) -> Outcome:
        real = batch.images.detach().requires_grad_()
        score = self.discriminator(real)
        (slope,) = torch.autograd.grad(score.sum(), real, create_graph=True)
        fake = self.discriminator(self.sample(batch.request, self.generators).detach())
        return Outcome({"adversarial": fake.mean() - score.mean(), "penalty": slope.square().mean()})

    def generator_loss(self, batch: Batch) -> Outcome:
        return Outcome({"adversarial": -self.discriminator(self.sample(batch.request, self.generators)).mean()})

    def sample(self, request: Request, generators: nn.ModuleDict) -> Tensor:
        return generators["generator"](request.draws.randn(4), request.labels)


def reals(count: int, *, classes: int = 0) -> Batch:
    """Of 30 images whose grey tells their class, 0, 1, 1, 0, 1, 1, ...; there is none of class 2."""
    labels = (torch.arange(30) % 3 > 0).long()
    images = (51 + 102 * labels).to(torch.uint8)[:, None, None, None].expand(30, 1, 4, 4)
    return Stream(ImageSet(images, labels, ["0", "1", "2"], "", ""), seed=0, device="cpu").fixed(count, classes=classes)


def unlabelled(count: int, *, classes: int = 0) -> Batch:
    """The same images without labels."""
    return Batch(reals(count).images)


@pytest.fixture
def game() -> Game:
    """A game in training mode after one update of each player, its discriminator frozen as in the generator's turn."""
    torch.manual_seed(0)
    game = Tiny().train()
    for player in game.players.values():
        torch.stack(list(player.loss(reals(6)).terms.values())).sum().backward(inputs=player.parameters())
    game.discriminator.requires_grad_(False)
    return game


def state(game: Game) -> list[object]:
    """Everything of a game that a monitor could touch, as plain values."""
    tensors = [tensor.tolist() for tensor in game.state_dict().values()]
    parameters = [(p.requires_grad, p.grad if p.grad is None else p.grad.tolist()) for p in game.parameters()]
    hooks = [len(module._forward_hooks) for module in game.modules()]
    return [tensors, parameters, hooks, [m.training for m in game.modules()], torch.get_rng_state().tolist()]


@pytest.fixture
def generators() -> nn.ModuleDict:
    """Stands for the averaged copies: in eval mode, as the loop hands them over."""
    torch.manual_seed(1)
    return nn.ModuleDict({"generator": Generator()}).eval()


START = Progress(total=100)
LATER = Progress(nimg=20, rounds=2, previous=10, total=100)

CALLS: dict[str, Callable[[Game, nn.ModuleDict], object]] = {
    "samples": lambda game, generators: SampleGrid(reals, num_classes=CLASSES)(game, generators, START),
    "histograms": lambda game, generators: Histograms()(game, generators, LATER),
    "summary": lambda game, generators: summary(game, reals(2)),
}


@pytest.mark.parametrize("name", CALLS)
def test_monitors_change_nothing(game: Game, generators: nn.ModuleDict, name: str) -> None:
    before, copies = state(game), [tensor.clone() for tensor in generators.state_dict().values()]
    CALLS[name](game, generators)
    assert state(game) == before
    assert all(map(torch.equal, generators.state_dict().values(), copies))


def test_state_sees_a_training_forward(game: Game) -> None:
    """The control: what `test_monitors_change_nothing` compares does move when a monitor is careless."""
    before = state(game)
    game.sample(reals(4).request, game.generators)
    assert state(game) != before


def test_samples_come_from_the_same_latents_whatever_was_drawn_before(game: Game, generators: nn.ModuleDict) -> None:
    monitor = SampleGrid(reals, latent_seed=3, num_classes=CLASSES)
    first = monitor(game, generators, START).images["samples/generated"]
    torch.manual_seed(99)
    again = SampleGrid(reals, latent_seed=3, num_classes=CLASSES)(game, generators, LATER)
    assert torch.equal(again.images["samples/generated"], first)
    other = SampleGrid(reals, latent_seed=4, num_classes=CLASSES)(game, generators, LATER)
    assert not torch.equal(other.images["samples/generated"], first)


def test_unconditional_samples_are_eight_by_eight_of_the_given_generators(
    game: Game, generators: nn.ModuleDict
) -> None:
    picture = SampleGrid(unlabelled, latent_seed=5)(game, generators, LATER).images["samples/generated"]
    torch.manual_seed(5)
    with torch.no_grad():
        expected = generators["generator"](torch.randn(64, 4), None)
    assert torch.equal(picture, grid(expected, 8)) and picture.shape == (1, 50, 50)


def test_reals_are_shown_once_with_a_row_per_class(game: Game, generators: nn.ModuleDict) -> None:
    monitor = SampleGrid(reals, num_classes=CLASSES)
    picture = monitor(game, generators, START).images["samples/real"]
    assert picture.shape == (1, 3 * 6 + 2, 10 * 6 + 2)
    for row, grey in enumerate((51, 153, 0)):  # classes 0 and 1; no image of class 2
        assert (picture[0, 2 + 6 * row, 2:6] == grey).all() and (picture[0, 5 + 6 * row, -6:-2] == grey).all()
    assert set(monitor(game, generators, LATER).images) == {"samples/generated"}


def test_generated_rows_have_the_labels_of_their_row() -> None:
    batch = reals(25, classes=2)
    assert batch.labels is not None and batch.labels.tolist() == [0] * 25 + [1] * 25
    assert (batch.images[:25] < 0).all() and (batch.images[25:] > 0).all(), "10 images of class 0, repeated"
    assert batch.total == 50 and batch.position == 0


def test_every_class_is_asked_for_in_turn_where_there_are_many() -> None:
    names, asked = [str(name) for name in range(250)], []

    class Known(nn.Module):
        def sample(self, request: Request, generators: nn.ModuleDict) -> Tensor:
            assert request.labels is not None
            asked.extend(request.labels.tolist())
            return request.labels.view(-1, 1, 1, 1) / 127.5 - 1

    class Reader(nn.Module):
        name, class_names = "reader", names

        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            return images, nn.functional.one_hot(images.long().flatten(), 256)

    image_set = ImageSet(torch.zeros(1, 1, 1, 1), torch.zeros(1).long(), names, "", "")
    monitor = LabelAgreement(Reader(), image_set, torch.device("cpu"), 250)  # pyright: ignore[reportArgumentType]
    record = monitor(Known(), nn.ModuleDict(), START)  # pyright: ignore[reportArgumentType]
    assert asked == [number % 250 for number in range(2000)] and record.scalars == {"codes/label": 1.0}


def test_histograms_hold_weights_and_gradients_of_both_players(game: Game, generators: nn.ModuleDict) -> None:
    histograms = Histograms()(game, generators, LATER).histograms
    layer = game.discriminator[1].parametrizations.weight.original  # type: ignore[union-attr,index]
    assert torch.equal(histograms["weights/discriminator/1.weight"], layer.detach().flatten())
    assert torch.equal(histograms["gradients/discriminator/1.weight"], layer.grad.flatten())
    assert "gradients/generator/layers.0.weight" in histograms
    weights = {tag.split("/", 1)[1] for tag in histograms if tag.startswith("weights/")}
    gradients = {tag.split("/", 1)[1] for tag in histograms if tag.startswith("gradients/")}
    assert weights == gradients and len(weights) == len(list(game.parameters()))


def test_a_large_tensor_is_thinned_evenly() -> None:
    values = sample(torch.arange(10_000.0).view(100, 100))
    assert values[0] == 0 and len(values) == 3334 and values[-1] == 9999
    assert len(sample(torch.zeros(4097))) <= 4096
    assert len(sample(torch.zeros(0, 3))) == 0


def test_networks_are_named_by_their_place_in_order_of_play(game: Game) -> None:
    assert list(game.networks()) == ["discriminator", "generator"]


def test_summary_counts_parameters_and_shows_shapes_and_loss(game: Game) -> None:
    lines = "\n\n".join(summary(game, reals(2), loss_name="wgan-gp")).splitlines()
    rows = {line.split()[0]: line.split() for line in lines if line}
    assert rows["1"] == ["1", "Linear", "(SpectralNorm)", "8", "136"]
    assert rows["embed"] == ["embed", "Embedding", "4", "12"]
    totals = [line.split()[1] for line in lines if line.startswith("  total")]
    expected = [sum(p.numel() for p in network.parameters()) for network in game.networks().values()]
    assert [int(total.replace(",", "")) for total in totals] == expected
    assert lines[-1] == (
        "loss wgan-gp: discriminator (5 updates a round) minimises adversarial + penalty; "
        "generator minimises adversarial"
    )


def test_a_deep_network_is_shown_by_its_blocks() -> None:
    game = Tiny()
    blocks = [nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 16)) for _ in range(13)]
    game.discriminator = nn.Sequential(nn.Flatten(), *blocks, nn.Linear(16, 1))
    game.players["discriminator"] = Player([game.discriminator], game.discriminator_loss)
    table = summary(game, reals(2))[0].split("\n\n")[0].splitlines()
    assert table[2].split() == ["1", "Sequential", "16", "544"] and len(table) == 17
