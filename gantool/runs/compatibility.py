"""Whether a game and a data set fit each other, seen before anything is trained."""

import torch

from gantool.batch import Batch
from gantool.data.source import Source
from gantool.data.two_sided import TwoSided, Unpaired
from gantool.errors import GantoolError
from gantool.game import Game


def check_sides(game: Game, source: Source | TwoSided) -> None:
    """Raises GantoolError where a game that translates has no two sides to do it between, or another game has them."""
    if game.translates and not isinstance(source, TwoSided):
        kind = "paired" if game.needs_pairs else "unpaired"
        raise GantoolError(f"this model translates images, and {source.name} has no two sides: use dataset={kind}")
    if isinstance(source, TwoSided) and not game.translates:
        raise GantoolError(
            f"dataset={source.name} has two sides, and this model makes images from noise: choose model=cyclegan or "
            "pix2pix, or dataset=folder dataset.root=FOLDER for one side"
        )
    if game.needs_pairs and isinstance(source, Unpaired):
        raise GantoolError("this model learns from pairs: choose dataset=paired, or model=cyclegan for unpaired images")


def check_shapes(game: Game, source: Source | TwoSided) -> None:
    """Plays the sampler and every turn on black images, in eval mode; raises GantoolError unless the networks fit the
    data and each other."""
    images = torch.zeros(2, source.channels, source.resolution, source.resolution)
    labels = torch.zeros(2, dtype=torch.int64) if source.num_classes else None
    batch = Batch(images, labels, images if game.translates else None)
    shape = "x".join(map(str, images.shape[1:]))
    state = torch.get_rng_state()
    game.eval()
    try:
        with torch.no_grad():
            made = game.sample(batch.request, game.generators).shape[1:]
        if made != images.shape[1:]:
            raise GantoolError(
                f"the generator makes {'x'.join(map(str, made))} images, {source.name} has {shape}: its class is "
                "handed `resolution` and `channels` to make them by"
            )
        for player in game.players.values():
            player.loss(batch)
    except (RuntimeError, IndexError) as error:
        reason = str(error).splitlines()[0]
        raise GantoolError(
            f"the networks do not fit {shape} images or each other ({reason}): their classes are handed `resolution`, "
            "`channels` and `latent_dim`, which dataset.resolution and model.latent.dim set"
        ) from error
    finally:
        game.train()
        torch.set_rng_state(state)
