"""Layer and instance norm that are differentiated twice in few operations, against torch's own."""

import pytest
import torch
from torch import Tensor, nn

from gantool.bench.operations import Operations
from gantool.networks.norms import LayerNorm, norm_2d, normalised


class Instance(nn.InstanceNorm2d):
    """As a GPU has it."""

    def forward(self, input: Tensor) -> Tensor:
        return normalised(input, self.num_features, self.weight, self.bias, self.eps)


KINDS = {
    "layer": (LayerNorm, lambda channels: nn.GroupNorm(1, channels)),
    "instance": (lambda channels: Instance(channels, affine=True), lambda c: nn.InstanceNorm2d(c, affine=True)),
}


def gradients(norm: nn.Module, x: Tensor) -> list[Tensor]:
    """Of a penalty on the gradient by x: of x, weight and bias; before them the output and that gradient."""
    made = norm(x)
    (slope,) = torch.autograd.grad(made.sin().sum(), x, create_graph=True)
    penalty = (slope.flatten(1).norm(dim=1) - 1).square().sum()
    return [made, slope, *torch.autograd.grad(penalty, [x, *norm.parameters()])]


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [(5, 6, 4, 4), (3, 1, 5, 2), (2, 8, 1, 3)])
@pytest.mark.parametrize("kind", KINDS)
def test_it_and_its_penalties_are_torchs(kind: str, shape: tuple[int, ...], order: torch.memory_format) -> None:
    torch.manual_seed(0)
    ours, theirs = (make(shape[1]).double() for make in KINDS[kind])
    nn.init.normal_(ours.weight)
    nn.init.normal_(ours.bias)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(shape, dtype=torch.float64).contiguous(memory_format=order).requires_grad_()
    for found, expected in zip(gradients(ours, x), gradients(theirs, x), strict=True):
        torch.testing.assert_close(found, expected)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x))


def test_layer_norm_without_a_penalty_is_torchs_bit_for_bit() -> None:
    norm, x = norm_2d("layer", 6), torch.randn(5, 6, 4, 4).requires_grad_()
    assert isinstance(norm, LayerNorm)
    found = []
    for forward in (norm, lambda x: nn.GroupNorm.forward(norm, x)):
        made = forward(x)
        found.append([made, *torch.autograd.grad(made.sin().sum(), [x, *norm.parameters()])])
    assert all(map(torch.equal, *found))


@pytest.mark.parametrize("kind", KINDS)
def test_a_penalty_takes_fewer_operations_than_torchs(kind: str) -> None:
    taken = []
    for make in KINDS[kind]:
        norm, x = make(6), torch.randn(5, 6, 4, 4).requires_grad_()
        with Operations() as counted:
            gradients(norm, x)
        taken.append(sum(counted.parts.values()))
    assert taken[0] < taken[1] / (2 if kind == "layer" else 1.5), taken


@pytest.mark.parametrize("groups", [1, 3])
def test_every_gradient_of_its_gradients_is_right(groups: int) -> None:
    """Also those by what it gives to its weight and bias, which no penalty of gantool asks for."""
    torch.manual_seed(0)
    inputs = [torch.randn(size, dtype=torch.float64, requires_grad=True) for size in ((2, 3, 2, 2), 3, 3)]

    def made(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return normalised(x, groups, weight, bias, 1e-5)

    assert torch.autograd.gradcheck(made, inputs) and torch.autograd.gradgradcheck(made, inputs)


def test_in_bfloat16_it_is_torchs() -> None:
    x, norm = torch.randn(2, 4, 3, 3), LayerNorm(4)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(norm(x.bfloat16()), nn.GroupNorm.forward(norm, x.bfloat16()))
