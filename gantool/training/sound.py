"""Whether what a checkpoint holds is the state of this run: seen before any of it is taken over."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gantool.errors import GantoolError
from gantool.game import Game
from gantool.training.optimization import PlayerOptimizer

FORMAT = 1  # of a checkpoint; counts up when a key comes to mean something else, not when one is added
_NUMBER = (int, float)
_KEYS = ("progress", "metrics", "best", "game", "ema", "optimizers", "scaler", "numerics")
_LATER = ("margins", "watch", "measured", "data", "ending", "ways")  # keys that earlier checkpoints lack
_FACTORED = ("row_var", "col_var", "variance")  # Adafactor's, of another shape than the weights


class Unsound(GantoolError):
    """A file that is not a state of this run, whatever else it is: the checkpoint before it will do."""


def check_sound(saved: object, game: Game) -> None:
    """Raises Unsound unless `saved` has all parts of a state, of the right types, and `game`'s weights; GantoolError
    for one of a later version."""
    if not isinstance(saved, dict):
        raise Unsound(f"it holds a {type(saved).__name__}")
    if (made := saved.get("format", FORMAT)) != FORMAT:
        raise GantoolError(f"it was made by a later version of gantool (format {made!r}): use that one")
    for key in (*_KEYS, *(key for key in _LATER if key in saved)):
        if not isinstance(saved.get(key), dict):
            raise Unsound(f"it has no {key}")
    progress, best, rate = saved["progress"], saved["best"], saved.get("rate_factor", 1.0)
    counts = [progress.get(key) for key in ("nimg", "rounds", "previous", "total")]
    if len(progress) != len(counts) or not all(isinstance(count, int) and count >= 0 for count in counts):
        raise Unsound("its progress is not a position in a run")
    ending = saved.get("ending", {})
    if not (isinstance(ending.get("since", 0), int) and isinstance(ending.get("best"), (*_NUMBER, type(None)))):
        raise Unsound("its memory of scores is not a number")
    numbers = [*saved["metrics"].values(), *([best.get("value"), best.get("nimg")] if best else [])]
    if not all(isinstance(number, _NUMBER) for number in (*numbers, rate)):
        raise Unsound("its scores are not numbers")
    _check_weights(saved["game"], game.state_dict(), "weights")
    _check_weights(saved["ema"], game.generators.state_dict(), "averaged weights")


def _check_weights(saved: Mapping[str, Any], own: Mapping[str, Tensor], what: str) -> None:
    if odd := saved.keys() ^ own.keys():
        raise Unsound(f"its {what} are of other networks ({min(map(repr, odd))})")
    for name, value in own.items():
        found = saved[name]
        if not isinstance(found, Tensor) or found.layout != torch.strided:
            raise Unsound(f"its {what} hold no tensor {name}")
        if (found.shape, found.dtype) != (value.shape, value.dtype):
            shapes = f"{name} is {tuple(found.shape)} {found.dtype}, not {tuple(value.shape)} {value.dtype}"
            raise Unsound(f"its {what} are of other networks ({shapes})")


def check_moments(saved: object, optimizer: PlayerOptimizer, player: str) -> None:
    """Raises Unsound unless `saved` is what an optimizer of these parameters remembers; GantoolError where it is, but
    with these settings the optimizer would have remembered more of them."""
    wrong = Unsound(f"its {player}'s optimizer state does not fit")
    own = optimizer.optimizer.param_groups
    parameters: list[nn.Parameter] = [p for group in own for p in group["params"]]
    sizes = [len(group["params"]) for group in own]
    match saved:
        case {"param_groups": [*groups], "state": dict(state)}:
            lists = [group.get("params") if isinstance(group, dict) else None for group in groups]
        case _:
            raise wrong
    if [len(part) if isinstance(part, list) else -1 for part in lists] != sizes:
        raise wrong
    if not state.keys() <= set(range(len(parameters))) or not all(isinstance(kept, dict) for kept in state.values()):
        raise wrong
    for matrices in (True, False):  # Adafactor remembers other things of vectors
        names = {frozenset(kept) for index, kept in state.items() if (parameters[index].ndim > 1) is matrices}
        if len(names) > 1:
            raise wrong
        if matrices and names and (more := optimizer.remembers.difference(*names)):
            raise GantoolError(
                f"optimizer: with these settings the {player}'s needs {', '.join(sorted(more))}, which the run "
                "did not keep: leave its keys as they were, or start a new run in another hydra.run.dir"
            )
    for index, moments in state.items():
        for name, value in moments.items():
            is_moment = isinstance(value, Tensor) and value.ndim and name not in _FACTORED
            if (is_moment and value.shape != parameters[index].shape) or isinstance(value, str):
                raise wrong
