"""Histograms of the weights of every network and of the gradients of its last update."""

from torch import Tensor, nn

from gantool.game import Game, Progress
from gantool.logging.record import Record

_VALUES = 4096  # of each tensor: as good to the eye as all of them


class Histograms:
    """weights/<network>/<parameter> and, where the last update left one, gradients/<network>/<parameter>."""

    def __call__(self, game: Game, generators: nn.ModuleDict, progress: Progress) -> Record:
        """(n <= 4096,) float32 on the CPU for each tensor: an even choice of its values."""
        histograms = {}
        for network, module in game.networks().items():
            for name, parameter in module.named_parameters():
                name = name.replace("parametrizations.", "").replace(".original", "")
                histograms[f"weights/{network}/{name}"] = sample(parameter)
                if parameter.grad is not None:
                    histograms[f"gradients/{network}/{name}"] = sample(parameter.grad)
        return Record(histograms=histograms)


def sample(values: Tensor) -> Tensor:
    """At most 4096 values at even distances."""
    values = values.detach().reshape(-1)
    stride = -(-len(values) // _VALUES) or 1  # 0: a parameter without elements
    return values[::stride].float().cpu()
