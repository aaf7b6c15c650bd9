"""A monitor of one's own."""

from torch import nn

from gantool.game import Game, Progress
from gantool.logging.record import Record


class Norms:
    """The length of each player's weights, as a curve. Monitors change nothing: they run under no_grad."""

    def __call__(self, game: Game, generators: nn.ModuleDict, progress: Progress) -> Record:
        lengths = {
            name: sum(float(p.square().sum()) for p in player.parameters()) for name, player in game.players.items()
        }
        return Record(scalars={f"length/{name}": length**0.5 for name, length in lengths.items()})
