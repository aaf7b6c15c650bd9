"""Rectifiers that are differentiated twice, against torch's own."""

import pytest
import torch
from torch import Tensor, nn

from gantool.bench.operations import Operations
from gantool.networks.activations import LeakyReLU, rectified

KINDS = {
    "leaky, in place": (lambda: LeakyReLU(0.2), lambda: nn.LeakyReLU(0.2)),
    "leaky": (lambda: Rectified(0.1), lambda: nn.LeakyReLU(0.1)),
    "not leaky": (lambda: Rectified(0.0), nn.ReLU),
}


class Rectified(nn.Module):
    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        return rectified(x, self.slope)


def networks(kind: str) -> list[nn.Module]:
    """With the same weights, ours and torch's."""
    found: list[nn.Module] = []
    for make in KINDS[kind]:
        torch.manual_seed(0)
        layers = [nn.Conv2d(2, 4, 3), make(), nn.Conv2d(4, 4, 3), make(), nn.Flatten(), nn.Linear(64, 1)]
        found.append(nn.Sequential(*layers))
    return found


def penalised(network: nn.Module, images: Tensor) -> list[Tensor]:
    """The scores, their gradient by the images, and what a penalty on that gradient gives to each weight."""
    images = images.clone().requires_grad_()
    scores = network(images)
    (slope,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    penalty = (slope.flatten(1).norm(dim=1) - 1).square().mean()
    weights = list(network.parameters())
    return [scores, slope, *torch.autograd.grad(penalty, weights, allow_unused=True, materialize_grads=True)]


@pytest.mark.parametrize("kind", KINDS)
def test_penalties_are_torchs_without_its_zeros(kind: str) -> None:
    images, found, taken = torch.randn(3, 2, 8, 8), [], []
    for network in networks(kind):
        with Operations() as counted:
            found.append(penalised(network, images))
        names = {name: count for (_, name), count in counted.names.items()}
        taken.append([names.get("convolution_backward", 0), names.get("zeros_like", 0)])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    assert all(few < many for few, many in zip(*taken, strict=True)), taken


@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_every_derivative_is_right(slope: float) -> None:
    x = torch.tensor([-2.0, -0.5, 0.3, 1.5], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: rectified(x, slope), x)
    assert torch.autograd.gradgradcheck(lambda x: rectified(x, slope).sin(), x)


def test_in_bfloat16_and_without_gradients_it_is_torchs() -> None:
    x = torch.randn(2, 4, 3, 3)
    assert torch.equal(rectified(x, 0.2), nn.functional.leaky_relu(x, 0.2))
    with torch.autocast("cpu", torch.bfloat16):
        made = rectified(x.requires_grad_(), 0.2)
    assert made.grad_fn is not None and made.grad_fn.name() == "LeakyReluBackward0"
