"""trainer.parallel=players: on devices that this machine has not in players.py, and here in numbers, on one."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from extent import some, thorough
from gantool.game import Game
from gantool.training.placement import place
from runs import same_training, train


@thorough
def test_players_in_a_process_of_their_own() -> None:
    """Fake tensors leave torch in a state that other tests do not bear, nor does Python's collector, nor its end."""
    words = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:unraisableexception",
        str(Path(__file__).with_name("players.py")),
    ]
    code = (
        f"import gc, os, pytest, sys; gc.disable(); code = pytest.main({words!r}); sys.stdout.flush(); os._exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


CASES = {
    "penalty": ("mlp", ["loss=wgan-gp"]),
    "matching": ("mlp", ["auxiliary=feature-matching", "regularizer=[r1]", "model.discriminator.norm=none"]),
    "cycle": ("cyclegan", ["loss=wgan-gp"]),
    "both sides": ("r3gan", []),  # R1 and R2
    "growth": ("progan", ["loss=wgan-gp", "model.growth.start=4"]),
}


@thorough
@pytest.mark.parametrize("case", some(CASES, 1))
def test_the_border_changes_no_bit(in_tmp: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way over it is a copy here, which autograd follows as it follows one to another device."""
    copies = []

    def copied(kind: type[Tensor], way: Callable[[Tensor], Tensor], crossing: object) -> object:
        copies.extend(tensor.requires_grad for tensor in tree_leaves(crossing) if isinstance(tensor, Tensor))
        return tree_map_only(kind, lambda tensor: way(tensor).clone(), crossing)

    def place_generators(game: Game, home: torch.device) -> None:
        for network in game.generators.values():
            place(network, home, home)

    model, words = CASES[case]
    whole = train(in_tmp / "one", *words, model=model, rounds=2)
    monkeypatch.setattr("gantool.runs.build.place_generators", place_generators)
    monkeypatch.setattr("gantool.training.placement.tree_map_only", copied)
    assert same_training(whole, train(in_tmp / "two", *words, "trainer.parallel=players", model=model, rounds=2))
    assert any(copies) and not all(copies), "images with a way back, latents without"
