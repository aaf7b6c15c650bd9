"""Weights of networks with and without spectral normalisation, so that one kind can begin with those of the other."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList

_ITERATIONS = 100  # of a random matrix they leave some 1 %; torch starts with 15, for weights about to change
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def plain_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a state_dict with those of parametrizations under the names that they have without one:
    'layers.0.parametrizations.weight.original' is 'layers.0.weight', its vectors 'layers.0.weight.0._u' and '._v'."""
    return {key.replace("parametrizations.", "").removesuffix(".original"): value for key, value in weights.items()}


def left_vector(key: str) -> str:
    """The plain name of what only a weight with spectral normalisation has beside it."""
    return f"{key}.0._u"


def normalised(key: str, weights: Mapping[str, Tensor], network: nn.Module) -> Tensor:
    """A weight as the network that it comes from used it: divided by its spectral norm, by the vectors among
    `weights`, which have plain names. `network` has a weight of this name, of the same kind where that matters."""
    weight, u, v = weights[key], weights[left_vector(key)], weights[f"{key}.0._v"]
    layer = network.get_submodule(key.rpartition(".")[0])
    outputs = [dim for dim in (0, 1) if weight.shape[dim] == len(u)]
    matrix = weight.movedim(outputs[-1 if isinstance(layer, TRANSPOSED) else 0], 0).flatten(1)
    return weight / torch.dot(u, matrix @ v)


@torch.no_grad()
def iterate_anew(key: str, network: nn.Module) -> None:
    """Finds the vectors of spectral normalisation for a weight that was replaced, given by its plain name."""
    path, _, name = key.rpartition(".")
    parametrization = network.get_submodule(f"{path}.parametrizations.{name}")
    assert isinstance(parametrization, ParametrizationList)
    mode = parametrization.training
    parametrization.train()  # where each call is one power iteration
    for _ in range(_ITERATIONS):
        parametrization()
    parametrization.train(mode)
