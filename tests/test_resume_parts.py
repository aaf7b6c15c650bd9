"""A part with a state of its own can neither come nor go when a run goes on, which one line says."""

import inspect
from copy import deepcopy
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from composing import composed
from extent import ALL
from gantool.cli.main import main
from gantool.config import Written, save_composed
from gantool.config.trust import OPTIMIZERS
from gantool.errors import GantoolError
from gantool.runs.build import build_state, set_up
from gantool.runs.resuming import check_changes
from gantool.schedules import Constant
from gantool.training.optimization import PlayerOptimizer
from gantool.training.sound import Unsound, check_moments
from runs import WIDTHS, choices, newest, small, train

LECAM = "{_target_: gantool.consistency.LeCam}"
PARTS = [f"regularizer={name}" for name in choices("regularizer")] if ALL else ["regularizer=lecam", "regularizer=cr"]
PARTS += [
    "regularizer=[lecam,l2]",
    f"++loss.regularizers={{mine: {LECAM}}}",
    "augment=ada",
    "auxiliary=feature-matching",
]
PARTS += [f"loss={name}" for name in choices("loss")] if ALL else ["loss=r3gan"]


@pytest.mark.parametrize("words", PARTS)
def test_a_part_with_a_state_neither_comes_nor_goes(words: str, in_tmp: Path) -> None:
    plain = ["model=mlp", *WIDTHS["mlp"], "score=none", "monitor=none", "trainer.device=cpu"]
    setups = []
    for more in ([], [words]):
        cfg, hydra = composed(*plain, *more)
        setups.append((set_up(cfg, Written()), hydra))
    for place, ((before, hydra), (now, _)) in enumerate((setups, setups[::-1])):
        run = in_tmp / str(place)
        save_composed(before.cfg, run, hydra)
        (run / "checkpoints").mkdir()
        (run / "checkpoints" / "some.pt").touch()
        old, new = build_state(before, 5000), build_state(now, 5000)
        told = ""
        try:
            check_changes(now.cfg, run)
            new.check(old.state_dict())
        except GantoolError as error:
            assert not isinstance(error, Unsound), "it is sound"
            told = str(error)
        assert told or old.game.state_dict().keys() == new.game.state_dict().keys()
        assert "\n" not in told and (not told or words.partition("=")[0].lstrip("+") in told), told


def test_what_is_told_of_it(in_tmp: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = in_tmp / "run"
    train(run, "regularizer=lecam", model="mlp", rounds=2)
    for words in ([], ["regularizer=[lecam,l2]"]):
        capfd.readouterr()
        assert main(small(run, *words, model="mlp", rounds=4)) == (0 if words else 1)
        error = capfd.readouterr().err
        line = "it was trained with regularizer.lecam, which has a state of its own and can neither come nor go: bring"
        assert words or (line in error and error.count("\n") == 1), error
    assert newest(run)["progress"]["rounds"] == 4


def player(name: str, settings: dict[str, Any]) -> PlayerOptimizer:
    torch.manual_seed(0)
    parameters = [nn.Parameter(torch.randn(shape)) for shape in ((4, 3, 3, 3), (5, 4), (5,))]
    make = partial(getattr(torch.optim, name), lr=0.01, **settings)
    return PlayerOptimizer(parameters, make, Constant())


def step(of: PlayerOptimizer, times: int) -> None:
    for _ in range(times):
        for parameter in of.parameters:
            parameter.grad = parameter.detach().sin()
        of.optimizer.step()


STEPPING = sorted({name.rpartition(".")[2] for name in OPTIMIZERS} - {"LBFGS", "SparseAdam"})  # not by gradients alone
SWITCHES: dict[str, dict[str, Any]] = {"amsgrad": {"amsgrad": True}, "centered": {"centered": True}}
SWITCHES |= {"momentum": {"momentum": 0.5}, "nothing": {}}


@pytest.mark.parametrize("name", STEPPING)
def test_an_optimizer_goes_on_or_says_why_not(name: str) -> None:
    """With the settings that it had, and with one more or less that changes what it remembers."""
    known = inspect.signature(getattr(torch.optim, name)).parameters
    kinds = [{}, *(words for key, words in SWITCHES.items() if key in known)]
    for before, now in product(kinds, kinds):
        old, new = player(name, before), player(name, now)
        step(old, 2)
        refused = False
        try:
            check_moments(old.state_dict(), new, "discriminator")
        except GantoolError as error:
            assert not isinstance(error, Unsound) and "the discriminator's goes on from" in str(error)
            refused = True
        assert not (refused and before == now)
        new.load_state_dict(deepcopy(old.state_dict()))
        for ours, theirs in zip(new.parameters, old.parameters, strict=True):
            ours.data.copy_(theirs.data)
        if refused:
            with pytest.raises(KeyError):
                step(new, 1)
            continue
        step(new, 2)
        step(old, 2)
        same = all(torch.equal(ours, theirs) for ours, theirs in zip(new.parameters, old.parameters, strict=True))
        assert same or before != now, (before, now)
