"""Rounds take no more operations than they need: what a GPU would spend its time on launching."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
import torch

from composing import composed
from extent import some
from gantool.bench.operations import Operations
from gantool.cli.arguments import add_arguments
from gantool.config import Written
from gantool.data.cache import prepare
from gantool.runs.build import build_state, build_stream, set_up
from gantool.runs.monitors import build_measurements
from gantool.training.graphs import Graphs
from gantool.training.loop import Settings, play_round
from runs import small

T = TypeVar("T")
# By recipe: operations of a round at most, and those of some parts. Before they were counted ADA took 1,575, of which
# 1,170 its own, and WGAN-GP 1,811, of which 305 the penalty's own and 1,116 in the backward pass; R3GAN took 893.
LIMITS = {
    "dcgan augment=ada": (590, {"augment": 200}),
    "dcgan loss=wgan-gp": (875, {"regularizers": 50, "backward": 250, "measurements": 11, "ema": 1, "optimizers": 30}),
    "progan": (400, {"ema": 2, "measurements": 3}),
    "r3gan": (770, {"measurements": 3, "optimizers": 10}),
}


class Silent:
    """Makes graphs that do nothing, so that what is left to launch can be counted."""

    def warm_up(self, play: Callable[[], T]) -> T:
        return play()

    def capture(self, play: Callable[[], T]) -> tuple[T, Callable[[], object]]:
        return play(), lambda: None


def played(folder: Path, model: str, *words: str, graphs: Graphs | None = None) -> dict[str, int]:
    """Operations by part: of the second round, of graphs of the third."""
    cfg, hydra = composed(*add_arguments(small(folder, *words, model=model)[1:]))
    setup = set_up(cfg, Written.of(hydra))
    image_set = prepare(setup.source)
    data, state = build_stream(setup, image_set), build_state(setup, len(image_set.images))
    measurements, settings = build_measurements(setup, state, len(image_set.images)), Settings(0, 8, graphs=graphs)
    for _ in range(1 if graphs is None else 2):
        play_round(state, data, measurements, settings)
    with Operations() as counted:
        play_round(state, data, measurements, settings)
    return counted.parts


@pytest.mark.parametrize("recipe", some(LIMITS, 4))
def test_a_round_takes_few_operations(in_tmp: Path, recipe: str) -> None:
    model, *words = recipe.split()
    found = played(in_tmp / "run", model, *words)
    most, parts = LIMITS[recipe]
    assert sum(found.values()) <= most, found
    assert {part: count for part, count in found.items() if count > parts.get(part, most)} == {}


# Beside the graphs of its updates, one launch each: batches, their copies, steps, averages, measurements.
@pytest.mark.parametrize(("recipe", "most"), [("dcgan augment=ada", 30), ("dcgan loss=wgan-gp", 80)])
def test_a_round_of_graphs_takes_few_operations_beside_them(in_tmp: Path, recipe: str, most: int) -> None:
    model, *words = recipe.split()
    found = played(in_tmp / "run", model, *words, graphs=Graphs(Silent()))
    assert sum(found.values()) <= most, found
    assert not found.keys() & {"backward", "networks", "losses", "regularizers"}


def test_what_is_counted() -> None:
    x = torch.randn(3, 4, requires_grad=True)
    with Operations() as counted:
        (2 * x.view(4, 3).t()[:2]).sum().backward()  # views launch nothing
    names = {name.partition(".")[0]: count for (_, name), count in counted.names.items()}
    assert names["mul"] == 2 and names["sum"] == 1 and not names.keys() & {"view", "t", "slice", "detach", "empty"}
    assert counted.parts == {"backward": sum(names.values())}, "no part of gantool asked for it"
