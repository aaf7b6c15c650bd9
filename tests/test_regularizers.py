"""Penalties against an analytic case and finite differences; laziness, precision, constraints."""

import pytest
import torch
from torch import Tensor, nn

from composing import typed
from gantool.batch import Batch
from gantool.cli.arguments import add_arguments
from gantool.errors import GantoolError
from gantool.game import Progress, Regularizer, Turn
from gantool.games.adversary import Adversary, check_norm
from gantool.games.gan import GAN, stage_of
from gantool.losses import NonSaturating
from gantool.networks.dcgan import Discriminator
from gantool.networks.layers import apply_spectral_norm
from gantool.regularizers import L1, L2, R1, R2, Dragan, GradientPenalty, Orthogonal, WeightClip
from gantool.runs.build import build_game
from test_cyclegan import cyclegan, drawn, pix2pix


class Plane(nn.Module):
    """Score w . x: its gradient is w everywhere."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return (images.flatten(1) * self.weight).sum(1, keepdim=True)


class Bowl(nn.Module):
    """A smooth, curved score in few dimensions, for finite differences."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 8), nn.Linear(8, 1)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.second(torch.tanh(self.first(images.flatten(1))))


def turn(size: int = 6, shape: tuple[int, ...] = (1, 2, 2), position: int = 0) -> Turn:
    real, fake = torch.randn(size, *shape), torch.randn(size, *shape)
    return Turn(real, fake, None, torch.zeros(size, 1), Batch(real, position=position), Progress())


def test_penalties_of_a_plane_are_known() -> None:
    plane, t = Plane(torch.tensor([3.0, 0.0, 4.0, 0.0])), turn()  # |gradient| 5 at every point
    assert GradientPenalty(weight=10)(plane, t).item() == pytest.approx(10 * (5 - 1) ** 2)
    assert GradientPenalty(weight=1, target=5)(plane, t).item() == pytest.approx(0, abs=1e-9)
    assert Dragan(weight=10)(plane, t).item() == pytest.approx(160)
    assert R1(gamma=2)(plane, t).item() == pytest.approx(25)
    assert R2(gamma=1)(plane, t).item() == pytest.approx(12.5)
    assert L1(weight=0.5)(nn.Linear(2, 2, bias=True).requires_grad_(False), t) >= 0
    layer = nn.Linear(2, 1)
    nn.init.constant_(layer.weight, -3.0)
    nn.init.constant_(layer.bias, 100.0)  # biases are left alone
    assert L1(weight=0.5)(layer, t).item() == pytest.approx(3.0)
    assert L2(weight=0.5)(layer, t).item() == pytest.approx(0.25 * 18)


def test_one_that_the_loss_brings_is_not_replaced() -> None:
    plane, loss = Plane(torch.ones(4)), NonSaturating(regularizers={"r1": R1(gamma=3)})
    with pytest.raises(
        GantoolError, match=r"regularizer=r1: the loss already has it: .* set loss\.regularizers\.r1\.KEY"
    ):
        Adversary(plane, loss, {"l2": L2(), "r1": R1()})
    assert list(Adversary(plane, loss, {"r2": R2()}).regularizers) == ["r1", "r2"]


def numeric_gradient(network: nn.Module, image: Tensor, step: float = 1e-5) -> Tensor:
    grad = torch.zeros_like(image).flatten()
    for i in range(image.numel()):
        delta = torch.zeros_like(image).flatten()
        delta[i] = step
        delta = delta.view_as(image)
        grad[i] = (network(image + delta) - network(image - delta)).item() / (2 * step)
    return grad


def test_r1_and_its_gradient_by_finite_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    bowl, t = Bowl().double(), turn(3)
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)  # differences need the digits
    expected = torch.stack([numeric_gradient(bowl, x[None].double()).square().sum() for x in t.real]).mean() / 2
    penalty = R1(gamma=1)(bowl, t)
    assert penalty.item() == pytest.approx(expected.item(), rel=1e-6)
    (by_autograd,) = torch.autograd.grad(penalty, bowl.first.weight)
    step = 1e-6
    with torch.no_grad():
        bowl.first.weight[2, 1] += step
    above = R1(gamma=1)(bowl, t).item()
    with torch.no_grad():
        bowl.first.weight[2, 1] -= 2 * step
    below = R1(gamma=1)(bowl, t).item()
    assert by_autograd[2, 1].item() == pytest.approx((above - below) / (2 * step), rel=1e-5)


def test_penalties_are_float32_and_see_the_uncompiled_network() -> None:
    network = Discriminator(resolution=32, channels=1, width=8, norm="layer")
    t = turn(4, (1, 32, 32))
    expected = R1()(network, t).item()
    with torch.autocast("cpu", torch.bfloat16):
        inside = R1()(network, t)
    assert inside.dtype == torch.float32 and inside.item() == pytest.approx(expected, rel=1e-6)
    network.compile(backend="eager")
    network._compiled_call_impl = None if network._compiled_call_impl is None else refuse  # type: ignore[assignment]
    assert R1()(network, t).item() == pytest.approx(expected, rel=1e-6)


def refuse(*args: object) -> None:
    raise AssertionError("the compiled forward cannot be differentiated twice")


class Counting(nn.Module):
    """A regularizer that remembers how often it was asked, and adds nothing."""

    player, every, allow_batch_norm = "discriminator", 1, True
    times: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("times", torch.zeros(()))

    def forward(self, network: nn.Module, turn: Turn) -> Tensor:
        self.times += 1
        return turn.real.new_zeros(())


@pytest.mark.parametrize(("make", "places"), [(cyclegan, ("a.", "b.")), (pix2pix, ("",))])
@pytest.mark.parametrize("of_loss", [True, False])
def test_what_a_regularizer_remembers_is_in_the_checkpoint_of_each_discriminator(make, places, of_loss: bool) -> None:
    parts: dict[str, Regularizer] = {"counting": Counting()}
    game = make(NonSaturating(regularizers=parts)) if of_loss else make(regularizers=parts)
    game.discriminator_loss(drawn())
    found = {name: int(value) for name, value in game.state_dict().items() if name.startswith("regularizers.")}
    assert found == {f"regularizers.{place}counting.times": 1 for place in places}


def test_lazy_terms_come_every_kth_batch_and_weigh_k_times() -> None:
    plane = Plane(torch.tensor([3.0, 0.0, 4.0, 0.0]))
    lazy: dict[str, Regularizer] = {"r1": R1(gamma=2, every=4)}
    adversary = Adversary(plane, NonSaturating(regularizers=lazy))
    values = [adversary.regularize("discriminator", plane, turn(position=6 * k)) for k in range(8)]
    assert [set(v) for v in values] == [{"r1"}, set(), set(), set()] * 2
    assert values[4]["r1"].item() == pytest.approx(100)
    assert adversary.regularize("generator", plane, turn()) == {}


def test_a_lazy_term_of_the_generator_is_due_whatever_n_critic_is() -> None:
    layer, due = nn.Linear(2, 2), []
    adversary = Adversary(Plane(torch.ones(4)), NonSaturating(), {"l2": L2(every=5)})
    for rounds in range(10):
        t = turn(position=6 * (5 * rounds + 4))  # the last of five batches of a round
        t.progress = Progress(rounds=rounds)
        due.append(set(adversary.regularize("generator", layer, t)))
    assert due == [{"l2"}, set(), set(), set(), set()] * 2


def test_batch_norm_cannot_bear_a_penalty_unless_forced() -> None:
    network = Discriminator(resolution=32, channels=1, width=8, norm="batch")
    with pytest.raises(GantoolError, match="batch norm.*model.discriminator.norm=layer"):
        Adversary(network, NonSaturating(), {"r1": R1()})
    check_norm({"r1": R1(allow_batch_norm=True), "l2": L2()}, network)
    check_norm({"r1": R1()}, Discriminator(resolution=32, channels=1, width=8, norm="layer"))


def test_orthogonal_term_by_the_definition_and_its_gradient() -> None:
    torch.manual_seed(0)
    tall, wide, up = nn.Linear(3, 7), nn.Conv2d(4, 5, 3), nn.ConvTranspose2d(6, 3, 2)
    network, t = nn.Sequential(nn.Embedding(4, 3), tall, wide, up, nn.BatchNorm2d(3)), turn()
    expected = 0.0
    for weight in (tall.weight, wide.weight.flatten(1), up.weight.transpose(0, 1).flatten(1)):
        for i, a in enumerate(weight):
            expected += sum((a @ b).item() ** 2 for j, b in enumerate(weight) if i != j)
    term = Orthogonal(weight=0.5)(network, t)
    assert term.item() == pytest.approx(0.5 * expected, rel=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        assert Orthogonal(weight=0.5)(network, t).item() == term.item()
    (gradient,) = torch.autograd.grad(term, tall.weight)
    others = tall.weight @ tall.weight.T * (1 - torch.eye(7))
    assert torch.allclose(gradient, 0.5 * 4 * others @ tall.weight, atol=1e-5)


def test_orthogonal_term_is_of_the_weight_before_spectral_norm_and_vanishes_at_an_orthogonal_start() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 6, 3)
    nn.init.orthogonal_(layer.weight, gain=3.0)
    network = nn.Sequential(layer, nn.Embedding(5, 2))
    apply_spectral_norm(network)
    (original,) = (p for p in layer.parameters() if p.ndim > 1)
    assert Orthogonal(weight=1.0)(network, turn()).item() == pytest.approx(0, abs=1e-2)  # of 6 * 9^2 on the diagonal
    with torch.no_grad():
        original[1] = original[0]
    assert Orthogonal(weight=1.0)(network, turn()).item() == pytest.approx(2 * 9.0**2, rel=1e-4)


def test_weight_clipping() -> None:
    network = nn.Linear(10, 10)
    nn.init.normal_(network.weight)
    inside = network.weight.detach().clone().clamp(-0.05, 0.05)
    WeightClip(bound=0.05)(network)
    assert torch.equal(network.weight, inside) and network.bias.abs().max() <= 0.05
    network.weight.requires_grad = False  # it is frozen
    WeightClip(bound=0.01)(network)
    assert torch.equal(network.weight, inside) and network.bias.abs().max() <= 0.01


CLIPPED = [(model, 32) for model in ("dcgan", "mlp", "resnet", "biggan", "progan", "r3gan", "infogan")]
CLIPPED += [("progan", 256), ("r3gan", 256)]  # what the score feels of a pixel falls with each layer


@pytest.mark.parametrize(("model", "side"), CLIPPED)
def test_a_clipped_critic_still_tells_images_apart(model: str, side: int) -> None:
    """By more than Adam's eps, at the bound that its model brings for loss=wgan."""
    words = [f"model={model}", "loss=wgan", "dataset.channels=1", f"dataset.resolution={side}"]
    game = build_game(typed(*add_arguments(words)))
    assert isinstance(game, GAN)
    game.adversary.constrain()
    if model == "progan":
        stage_of(game.discriminator).fill_(side.bit_length() - 3)  # full-grown, from 4 pixels
    images = (torch.rand(4, 1, side, side) * 2 - 1).requires_grad_(True)
    [slope] = torch.autograd.grad(game.discriminator(images).sum(), images)
    assert slope.flatten(1).norm(dim=1).min() > 1e-8
