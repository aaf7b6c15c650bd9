"""What the players' networks are called in tags and tables."""

from torch import nn

from gantool.game import Game


def named_networks(game: Game) -> dict[str, nn.Module]:
    """Every network that a player owns by its path in the game ('discriminator', 'generator'), in order of play."""
    paths = {id(module): path.removeprefix("generators.") for path, module in game.named_modules()}
    return {paths[id(network)]: network for player in game.players.values() for network in player.networks}
