"""Whether a game and a data set fit each other, seen before anything is trained."""

import inspect
import math

import torch
from torch import Tensor

from gantool.batch import Batch
from gantool.data.source import Source
from gantool.data.two_sided import TwoSided, Unpaired
from gantool.errors import GantoolError, first_line
from gantool.game import Game, Outcome
from gantool.shapes import sides

_METHODS = {"forward": "images", "features": "images", "score": "features"}  # of a discriminator, by what they take


def check_sides(game: Game, source: Source | TwoSided) -> None:
    """Raises GantoolError where a game that translates has no two sides to do it between, or another game has them."""
    if game.translates and not isinstance(source, TwoSided):
        kind = "paired" if game.needs_pairs else "unpaired"
        raise GantoolError(f"this model translates images, and {source.name} is not two-sided: use dataset={kind}")
    if isinstance(source, TwoSided) and not game.translates:
        raise GantoolError(
            f"dataset={source.name} has two sides, and this model makes images from noise: choose model=cyclegan or "
            "pix2pix, or dataset=folder dataset.root=FOLDER for one side"
        )
    if game.needs_pairs and isinstance(source, Unpaired):
        raise GantoolError("this model learns from pairs: choose dataset=paired, or model=cyclegan for unpaired images")


def check_memory(game: Game, source: Source | TwoSided, batch_size: int, share: float, memory: float) -> None:
    """Raises GantoolError where a `share` of the real images of one round, float32 in batches of `batch_size`, is more
    than `memory` bytes: what fits needs many times as much for the networks, but that only a round can tell."""
    each = 2 if game.translates else 1
    needs = 4 * each * batch_size * game.batches_per_round * source.channels * math.prod(sides(source.resolution))
    if share * needs > memory:
        raise GantoolError(
            f"trainer.batch_size={batch_size}: the real images of a round alone need {share * needs / 1e9:.3g} GB, "
            f"and there are {memory / 1e9:.3g} GB: choose a smaller one"
        )


def blank(game: Game, source: Source | TwoSided) -> Batch:
    """Two black images of the data set, as the game takes them."""
    images = torch.zeros(2, source.channels, *sides(source.resolution))
    labels = torch.zeros(2, dtype=torch.int64) if source.num_classes else None
    if source.vectors:
        labels = torch.zeros(2, source.num_classes)
    return Batch(images, labels, images if game.translates else None)


def check_shapes(game: Game, source: Source | TwoSided) -> None:
    """Plays the sampler and every turn on black images, in eval mode; raises GantoolError unless the networks fit the
    data and each other, and what comes back is what a run can go on with."""
    batch = blank(game, source)
    images = batch.images
    shape = "x".join(map(str, images.shape[1:]))
    for name, player in game.players.items():
        if not player.parameters():
            raise GantoolError(f"the {name} has no parameters, so there is nothing to train")
    state = torch.get_rng_state()
    game.eval()
    try:
        with torch.no_grad():
            made = game.sample(batch.request, game.generators)
        if made.shape[1:] != images.shape[1:]:
            raise GantoolError(
                f"the generator makes {'x'.join(map(str, made.shape[1:]))} images, {source.name} has {shape}: its "
                "class gets the right numbers as `resolution` and `channels`"
            )
        if len(made) != 2:
            raise GantoolError(f"the generator makes {len(made)} images where it is asked for 2")
        outcomes = {name: player.loss(batch) for name, player in game.players.items()}
        _check_outcomes(made, outcomes)
        _check_constraints(game)
    except GantoolError:
        raise
    except Exception as error:
        reason = first_line(error) if isinstance(error, RuntimeError) else repr(error).splitlines()[0]
        if isinstance(error, TypeError) and (called := _called_otherwise(game, error)):
            raise GantoolError(f"{called} ({first_line(error)})") from error
        raise GantoolError(
            f"the networks do not fit {shape} images or each other ({reason}): their classes are handed `resolution`, "
            "`channels` and `latent_dim`, which dataset.resolution and model.latent.dim set"
        ) from error
    finally:
        game.train()
        torch.set_rng_state(state)


def _called_otherwise(game: Game, error: TypeError) -> str:
    """How a network is called whose own method has just refused its arguments; '' where it was another's that did."""
    for path, network in game.networks().items():
        refuses = [name for name in _METHODS if _is_of(error, getattr(type(network), name, None))]
        judges = path.startswith("discriminator")
        if not refuses or not (judges or path.startswith("generator") or game.translates):
            continue
        name, own = refuses[0], type(network).__name__
        if game.translates and not judges:
            return f"{path} is called with images alone: write {name}(self, images) in {own}"
        takes = _METHODS[name] if judges else "z"
        called = path if name == "forward" else f"{path}.{name}"
        when = "labels is None where the run is not conditional"
        return f"gantool calls {called}({takes}, labels), and {when}: write {name}(self, {takes}, labels=None) in {own}"
    return ""


def _is_of(error: TypeError, function: object) -> bool:
    """Whether it is this function that refused its arguments."""
    return inspect.isfunction(function) and first_line(error).startswith(f"{function.__qualname__}() ")


def _check_constraints(game: Game) -> None:
    """Raises GantoolError where what is to follow an update cannot."""
    before = {name: tensor.clone() for name, tensor in game.state_dict().items()}
    for name, player in game.players.items():
        try:
            player.after_update()
        except Exception as error:
            raise GantoolError(f"the constraint after an update of the {name} raised {error!r}") from error
    game.load_state_dict(before)


def _check_outcomes(made: Tensor, outcomes: dict[str, Outcome]) -> None:
    """Raises GantoolError for numbers that are none before anything was learned, and for scores that are not of each
    image."""
    if not bool(made.isfinite().all()):
        raise GantoolError("the generator's first images are not finite numbers")
    for name, outcome in outcomes.items():
        for term, value in outcome.terms.items():
            if value.numel() != 1 or not bool(value.isfinite()):
                raise GantoolError(f"the {name}'s term {term} is {value.detach().flatten()[:4].tolist()} before any "
                                   "training: it should be one finite number")  # fmt: skip
        for side, score in outcome.scores.items():
            if len(score) != 2:
                raise GantoolError(f"the discriminator gives {tuple(score.shape)} scores of 2 {side} images")
